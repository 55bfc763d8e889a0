//! Reads the fields of counters.

/// Declares a function that reads the fields of a type of counters, and the list of these fields for tests. Each field
/// has its name in [`names`](super::names), and the value of its label if the name has one.
macro_rules! fields {
    ($read:ident, $list:ident: $Stats:ty { $($field:ident => $name:ident $(($label:literal))?,)* }) => {
        fn $read(stats: &$Stats, into: &mut Vec<$crate::report::Reading>) {
            into.extend([$($crate::source::proxy::fields::reading!($name, stats.$field $(, $label)?)),*]);
        }

        #[cfg(test)]
        const $list: &[&str] = &[$(stringify!($field)),*];
    };
}

macro_rules! reading {
    ($name:ident, $value:expr) => {
        $crate::source::proxy::names::$name.read($value)
    };
    ($name:ident, $value:expr, $label:literal) => {
        $crate::source::proxy::names::$name.read($label, $value)
    };
}

pub(super) use {fields, reading};
