//! Signals: the first SIGINT finishes, the second cancels, the third leaves at once; SIGTERM
//! leaves within the grace period.

use refit_model::Stop;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::exit::Exit;

/// Listens for signals; what they ask for arrives at the receiver.
pub(crate) fn listen() -> UnboundedReceiver<Stop> {
    let (sender, receiver) = unbounded_channel();
    let interrupts = sender.clone();
    tokio::spawn(async move {
        for stop in [Some(Stop::Finish), Some(Stop::Cancel), None] {
            if tokio::signal::ctrl_c().await.is_err() {
                return;
            }
            match stop {
                Some(stop) => {
                    interrupts.send(stop).ok();
                }
                None => leave_at_once(),
            }
        }
    });
    #[cfg(unix)]
    tokio::spawn(async move {
        use tokio::signal::unix::{SignalKind, signal};
        let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
        while terminate.recv().await.is_some() {
            sender.send(Stop::Leave).ok();
        }
    });
    receiver
}

#[expect(clippy::exit, reason = "the third interrupt asks for exactly this")]
fn leave_at_once() {
    std::process::exit(Exit::Interrupted as i32);
}
