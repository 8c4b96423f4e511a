//! What clusters have in common, each value but once: in a large fleet, copies of their own come from
//! memory.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use refit_model::{Because, StateGuard};

/// What the layouts of a plan have in common.
#[derive(Debug, Default)]
pub(crate) struct Common {
    pub(crate) reasons: Shared<Because>,
    /// Those of add-ons.
    pub(crate) guards: Shared<StateGuard>,
}

/// Values, each but once.
#[derive(Debug)]
pub(crate) struct Shared<T>(RefCell<BTreeSet<Arc<T>>>);

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<T: Ord> Shared<T> {
    /// The one that is the same.
    pub(crate) fn of(&self, value: T) -> Arc<T> {
        let mut all = self.0.borrow_mut();
        if let Some(known) = all.get(&value) {
            return Arc::clone(known);
        }
        let value = Arc::new(value);
        all.insert(Arc::clone(&value));
        value
    }
}
