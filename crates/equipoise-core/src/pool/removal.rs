//! Tells the code around a pool which targets the pool no longer uses.

use std::{
    any::{Any, TypeId},
    fmt,
    sync::Arc,
};

use parking_lot::Mutex as NativeMutex;

use crate::{ids::Slot, strategy::picker::guarded, sync::Mutex, view::Members};

/// The functions of [`close_with_endpoint`]. They are not part of the state of a pool, so loom does not model them.
static OF_ALL_POOLS: NativeMutex<Vec<(TypeId, Hook)>> = NativeMutex::new(Vec::new());

/// Makes all pools call `close` with each target of type `T` that they no longer use, as with
/// [`Pool::on_removed`](super::Pool::on_removed). The types of targets that hold connections call it once, so that their
/// users need not set a function for each pool. Only the first function of each type `T` is used.
pub fn close_with_endpoint<T: 'static>(close: fn(&T)) {
    let mut hooks = OF_ALL_POOLS.lock();
    if hooks.iter().all(|(kind, _)| *kind != TypeId::of::<T>()) {
        hooks.push((TypeId::of::<T>(), hook(close)));
    }
}

/// Returns a function for targets of any type, which calls `f` with those of type `T`.
fn hook<T: 'static>(f: impl Fn(&T) + Send + Sync + 'static) -> Hook {
    Arc::new(move |target| {
        if let Some(target) = target.downcast_ref() {
            f(target);
        }
    })
}

type Target = Arc<dyn Any + Send + Sync>;
type Hook = Arc<dyn Fn(&(dyn Any + Send + Sync)) + Send + Sync>;

/// The functions that are called with removed targets. There is at most one function of each Rust type.
pub(super) struct RemovalHooks(Mutex<Vec<(TypeId, Hook)>>);

impl RemovalHooks {
    /// Adds a function for targets of type `T`.
    pub(super) fn add<T: 'static, F: Fn(&T) + Send + Sync + 'static>(&self, f: F) {
        let mut hooks = self.0.lock();
        if hooks.iter().all(|(kind, _)| *kind != TypeId::of::<F>()) {
            hooks.push((TypeId::of::<F>(), hook(f)));
        }
    }

    /// Calls the functions with each of the targets. A panic of a function is ignored.
    pub(super) fn call(&self, removed: &[Target]) {
        if removed.is_empty() {
            return;
        }
        // Copied, because hooks are user code and must not run under a lock.
        let mut hooks = self.0.lock().clone();
        hooks.extend(OF_ALL_POOLS.lock().iter().cloned());
        for (target, (_, hook)) in removed.iter().flat_map(|target| hooks.iter().map(move |hook| (target, hook))) {
            guarded(|| hook(&**target));
        }
    }
}

impl Default for RemovalHooks {
    fn default() -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

impl fmt::Debug for RemovalHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RemovalHooks").field(&self.0.lock().len()).finish()
    }
}

/// Returns the targets of `last` that `next` does not have.
pub(super) fn removed_targets(last: &Members, next: &Members) -> Vec<Target> {
    let target = |members: &Members, slot| members.handle(slot, 0).map(|handle| Arc::clone(&handle.target));
    let slots = (0..last.slots.len()).map(|at| Slot(at as u32));
    let removed = slots.filter_map(|slot| {
        let old = target(last, slot)?;
        let stays = target(next, slot).is_some_and(|new| Arc::ptr_eq(&old, &new));
        (!stays).then_some(old)
    });
    removed.collect()
}
