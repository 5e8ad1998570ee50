//! Who does the work that can be divided.

/// Runs independent pieces of work. This crate starts no threads: a driver passes its own, for instance a pool or
/// scoped threads.
pub trait Workers {
    /// Calls `work` once for each item, in any order, and returns when all calls have.
    fn each<T: Send>(&self, items: &mut [T], work: &(impl Fn(&mut T) + Sync));
}

/// Does all the work on the caller's own thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inline;

impl Workers for Inline {
    fn each<T: Send>(&self, items: &mut [T], work: &(impl Fn(&mut T) + Sync)) {
        items.iter_mut().for_each(work);
    }
}
