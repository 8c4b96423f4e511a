//! Signals. While a run works, the first SIGINT finishes, the second cancels, the third leaves at
//! once; SIGTERM and SIGHUP leave within the grace period. Before that, each of them ends refit:
//! nothing has been done yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use refit_model::Stop;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::exit::{Exit, Failure};
use crate::output::Printer;

/// Listens for signals, from the beginning of a command on.
pub(crate) struct Signals {
    stops: UnboundedReceiver<Stop>,
    works: Arc<AtomicBool>,
}

impl Signals {
    /// Begins to listen, in a thread of its own: a prompt or a slow disk must not hold signals up.
    ///
    /// # Errors
    /// If the operating system gives no thread, or no way to listen.
    pub(crate) fn listen(printer: &Printer) -> Result<Self, Failure> {
        crate::commands::check_open_files()?;
        let (sender, stops) = unbounded_channel();
        let works = Arc::new(AtomicBool::new(false));
        let (ready, is_ready) = mpsc::channel();
        let listener = Listener { sender, works: Arc::clone(&works), printer: printer.clone() };
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || listener.run(&ready))
            .map_err(|error| cannot_listen(&error))?;
        match is_ready.recv() {
            Ok(Ok(())) => Ok(Self { stops, works }),
            Ok(Err(error)) => Err(cannot_listen(&error)),
            Err(error) => Err(cannot_listen(&error)),
        }
    }

    /// A run begins to work: from now on signals ask it to stop.
    pub(crate) fn of_run(self) -> UnboundedReceiver<Stop> {
        self.works.store(true, Ordering::SeqCst);
        self.stops
    }
}

fn cannot_listen(error: &dyn std::error::Error) -> Failure {
    Failure::new(Exit::Failed, "cannot listen for signals").because(error)
}

struct Listener {
    sender: UnboundedSender<Stop>,
    works: Arc<AtomicBool>,
    printer: Printer,
}

impl Listener {
    fn run(self, ready: &mpsc::Sender<std::io::Result<()>>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        match runtime {
            Ok(runtime) => runtime.block_on(self.wait(ready)),
            Err(error) => {
                ready.send(Err(error)).ok();
            }
        }
    }

    #[cfg(unix)]
    async fn wait(self, ready: &mpsc::Sender<std::io::Result<()>>) {
        use tokio::signal::unix::{SignalKind, signal};
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [mut interrupt, mut terminate, mut hangup] = match kinds.map(signal) {
            [Ok(interrupt), Ok(terminate), Ok(hangup)] => [interrupt, terminate, hangup],
            [Err(error), ..] | [_, Err(error), _] | [.., Err(error)] => {
                ready.send(Err(error)).ok();
                return;
            }
        };
        ready.send(Ok(())).ok();
        let mut interrupts = 0;
        loop {
            tokio::select! {
                Some(()) = interrupt.recv() => self.interrupted(&mut interrupts),
                Some(()) = terminate.recv() => self.ask(Stop::Leave),
                Some(()) = hangup.recv() => self.ask(Stop::Leave),
                else => return,
            }
        }
    }

    #[cfg(not(unix))]
    async fn wait(self, ready: &mpsc::Sender<std::io::Result<()>>) {
        ready.send(Ok(())).ok();
        let mut interrupts = 0;
        while tokio::signal::ctrl_c().await.is_ok() {
            self.interrupted(&mut interrupts);
        }
    }

    fn interrupted(&self, interrupts: &mut u32) {
        *interrupts += 1;
        match *interrupts {
            1 => self.ask(Stop::Finish),
            2 => self.ask(Stop::Cancel),
            _ => leave_at_once(),
        }
    }

    fn ask(&self, stop: Stop) {
        if !self.works.load(Ordering::SeqCst) {
            self.printer.complain("Interrupted; nothing was done.");
            leave_at_once();
        }
        self.sender.send(stop).ok();
    }
}

#[expect(clippy::exit, reason = "nothing has begun, or the third interrupt asks for exactly this")]
fn leave_at_once() {
    std::process::exit(Exit::Interrupted as i32);
}
