//! The functions of the running gateway. A reload keeps those whose tables have not changed, with their state.

use std::{any::Any, cell::RefCell, collections::BTreeMap, sync::Arc};

use equipoise::monitor::{FunctionReadings, WatchedFunction};
use serde_json::Value;

use crate::source::ConfigError;

/// A function, such as a rate limit or a cache, that has a state.
pub(crate) trait Function: Any + Send + Sync {
    /// Returns the counters and states for the admin interface.
    fn report(&self) -> Value;

    /// Passes the counters and states on to the monitor.
    fn watch(&self, into: &mut FunctionReadings);
}

/// The functions of a configuration, by their place in it, such as `127.0.0.1:8080 limit`.
#[derive(Clone, Default)]
pub(crate) struct Functions(BTreeMap<String, Instance>);

#[derive(Clone)]
struct Instance {
    /// What the function was built from.
    table: Arc<dyn Any + Send + Sync>,
    function: Arc<dyn Function>,
}

/// The functions of a configuration that is being read.
pub(crate) struct NewFunctions<'o> {
    old: &'o Functions,
    new: RefCell<Functions>,
    changes: RefCell<Vec<Change>>,
}

/// A change of a running function.
type Change = Box<dyn FnOnce()>;

/// The functions of a configuration that is valid.
pub(crate) struct CheckedFunctions {
    functions: Functions,
    changes: Vec<Change>,
}

impl CheckedFunctions {
    /// Makes the changes, such as to new keys, and returns the functions.
    pub(crate) fn apply(self) -> Functions {
        self.changes.into_iter().for_each(|change| change());
        self.functions
    }
}

impl Functions {
    /// Returns the functions with their places.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &dyn Function)> {
        self.0.iter().map(|(place, instance)| (place.as_str(), &*instance.function))
    }

    /// Returns the functions for the monitor, named by their places.
    pub(crate) fn watched(&self) -> impl Iterator<Item = WatchedFunction> {
        self.0.iter().map(|(place, instance)| {
            let function = Arc::clone(&instance.function);
            WatchedFunction::new(place.as_str(), move |into| function.watch(into))
        })
    }

    /// Returns the functions of a type.
    pub(crate) fn of_type<F: Function>(&self) -> impl Iterator<Item = &F> {
        self.iter().filter_map(|(_, function)| (function as &dyn Any).downcast_ref())
    }
}

impl<'o> NewFunctions<'o> {
    /// Begins with no functions. `old` are those that run.
    pub(crate) fn new(old: &'o Functions) -> Self {
        Self { old, new: RefCell::default(), changes: RefCell::default() }
    }

    /// Returns the running function at a place if it was built from an equal table, and builds it otherwise. `table` has
    /// everything that the function is built from.
    pub(crate) fn keep_or_build<T, F>(
        &self,
        place: &str,
        table: T,
        build: impl FnOnce() -> Result<F, ConfigError>,
    ) -> Result<Arc<F>, ConfigError>
    where
        T: PartialEq + Send + Sync + 'static,
        F: Function,
    {
        let kept = |instance: &Instance| {
            let same = instance.table.downcast_ref::<T>().is_some_and(|old| *old == table);
            let function: Arc<dyn Any + Send + Sync> = instance.function.clone();
            function.downcast::<F>().ok().filter(|_| same)
        };
        // A listener and its routes share what is configured once.
        let known = self.new.borrow().0.get(place).and_then(kept);
        let function = match known.or_else(|| self.old.0.get(place).and_then(kept)) {
            Some(function) => function,
            None => Arc::new(build()?),
        };
        let instance = Instance { table: Arc::new(table), function: function.clone() };
        self.new.borrow_mut().0.insert(place.to_owned(), instance);
        Ok(function)
    }

    /// Returns the running function at a place, whatever it was built from.
    pub(crate) fn running<F: Function>(&self, place: &str) -> Option<Arc<F>> {
        let function: Arc<dyn Any + Send + Sync> = self.old.0.get(place)?.function.clone();
        function.downcast().ok()
    }

    /// Changes a function when the configuration is applied. A configuration that is not applied changes nothing.
    pub(crate) fn on_apply(&self, change: impl FnOnce() + 'static) {
        self.changes.borrow_mut().push(Box::new(change));
    }

    pub(crate) fn into_checked(self) -> CheckedFunctions {
        CheckedFunctions { functions: self.new.into_inner(), changes: self.changes.into_inner() }
    }
}
