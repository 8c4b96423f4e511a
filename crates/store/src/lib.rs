//! Where runs, plans and leases are kept.
//!
//! The journal is what safety rests on: one framed, checksummed, synced log file for each run
//! ([`journal`]). Everything else is convenience. [`SledStore`] keeps an index of the runs and
//! the blobs in sled beside the journals, written after them, and makes it again from them when
//! it is damaged. [`MemoryStore`] keeps the same bytes in memory, and crashes on demand.
//!
//! Readers ([`read_runs`], [`read_run`]) need neither the lock nor sled: they read the journals
//! of a live run as they are. `state/README.md` describes every file.
//!
//! What this crate does not do: it knows nothing of the order in which a run's records make
//! sense, apart from the first and the last. That is the engine's.

mod catalogue;
mod durable;
mod error;
mod index;
mod inspect;
pub mod journal;
mod lock;
mod memory;
mod prune;
mod releases;
mod set_aside;
mod sled_store;
mod store;

pub use durable::{remove_unfinished, replace_file, replace_file_unsynced, sync_files};
pub use error::{AppendError, StoreError};
pub use index::{Probe, ProbeResult, probe_in_this_process};
pub use inspect::{
    BlobInfo, BlobListing, JournalFile, Quarantined, Shown, StateListing, list, show,
};
pub use journal::{RunJournal, TornTail, read_run, read_runs};
pub use lock::{Holder, InUse, UnlockOutcome, Waiting, in_use, unlock};
pub use memory::{CrashPoint, MemoryDisk, MemoryStore};
pub use prune::{Keep, Pruned, RUNS_KEPT};
pub use releases::{read_releases, releases_path};
pub use set_aside::{SetAside, set_aside};
pub use sled_store::{Lost, OpenOptions, Recovery, SledStore};
pub use store::{
    Continued, NewRun, RunHandle, RunList, RunState, RunSummary, StateStore, UnreadableRun,
};
