//! Observers that consist of others.

use std::sync::Arc;

use equipoise_core::Endpoint;
use http::HeaderMap;

use super::{
    event::{BodyEnd, EventKind, RequestEvent},
    observer::{Observe, ObserveRequest, RequestStart},
};
use crate::guard::guarded;

impl<O: Observe + ?Sized> Observe for Arc<O> {
    fn is_enabled(&self) -> bool {
        (**self).is_enabled()
    }

    fn on_event(&self, event: &RequestEvent<'_>) {
        (**self).on_event(event);
    }

    fn observe_request(&self, start: &RequestStart<'_>) -> Option<Box<dyn ObserveRequest>> {
        (**self).observe_request(start)
    }
}

impl<O: Observe> Observe for Option<O> {
    fn is_enabled(&self) -> bool {
        self.as_ref().is_some_and(Observe::is_enabled)
    }

    fn on_event(&self, event: &RequestEvent<'_>) {
        if let Some(observe) = self {
            observe.on_event(event);
        }
    }

    fn observe_request(&self, start: &RequestStart<'_>) -> Option<Box<dyn ObserveRequest>> {
        self.as_ref()?.observe_request(start)
    }
}

impl<A: Observe, B: Observe> Observe for (A, B) {
    fn is_enabled(&self) -> bool {
        any_enabled([&self.0 as &dyn Observe, &self.1])
    }

    fn on_event(&self, event: &RequestEvent<'_>) {
        event_to_all([&self.0 as &dyn Observe, &self.1], event);
    }

    fn observe_request(&self, start: &RequestStart<'_>) -> Option<Box<dyn ObserveRequest>> {
        request_of_all([&self.0 as &dyn Observe, &self.1], start)
    }
}

impl<O: Observe> Observe for Vec<O> {
    fn is_enabled(&self) -> bool {
        any_enabled(self)
    }

    fn on_event(&self, event: &RequestEvent<'_>) {
        event_to_all(self, event);
    }

    fn observe_request(&self, start: &RequestStart<'_>) -> Option<Box<dyn ObserveRequest>> {
        request_of_all(self, start)
    }
}

// The panic of one observer must not keep an event from the others.

fn any_enabled<'a, O: Observe + ?Sized + 'a>(observers: impl IntoIterator<Item = &'a O>) -> bool {
    observers.into_iter().any(|observe| guarded(|| observe.is_enabled()).unwrap_or(false))
}

fn event_to_all<'a, O: Observe + ?Sized + 'a>(observers: impl IntoIterator<Item = &'a O>, event: &RequestEvent<'_>) {
    for observe in observers {
        let _ = guarded(|| observe.on_event(event));
    }
}

/// Returns one observer for the observers of all that want to observe this request.
fn request_of_all<'a, O: Observe + ?Sized + 'a>(
    observers: impl IntoIterator<Item = &'a O>,
    start: &RequestStart<'_>,
) -> Option<Box<dyn ObserveRequest>> {
    let one = |observe: &O| guarded(|| observe.observe_request(start)).flatten();
    let mut all: Vec<_> = observers.into_iter().filter_map(one).collect();
    match all.len() {
        0 | 1 => all.pop(),
        _ => Some(Box::new(All(all))),
    }
}

/// The observers of one request, at least two.
struct All(Vec<Box<dyn ObserveRequest>>);

impl All {
    fn each(&mut self, mut call: impl FnMut(&mut dyn ObserveRequest)) {
        for observer in &mut self.0 {
            let _ = guarded(|| call(&mut **observer));
        }
    }
}

impl ObserveRequest for All {
    fn on_event(&mut self, kind: &EventKind<'_>) {
        self.each(|observer| observer.on_event(kind));
    }

    fn wants_explanation(&mut self) -> bool {
        // Not `any`: each of them may count picks.
        let mut wanted = false;
        self.each(|observer| wanted |= observer.wants_explanation());
        wanted
    }

    fn before_send(&mut self, endpoint: &Endpoint, mut headers: Option<&mut HeaderMap>) {
        self.each(|observer| observer.before_send(endpoint, headers.as_deref_mut()));
    }

    fn in_scope(&mut self, poll: &mut dyn FnMut()) {
        fn nested(observers: &mut [Box<dyn ObserveRequest>], poll: &mut dyn FnMut()) {
            match observers.split_first_mut() {
                Some((first, rest)) => {
                    let mut called = false;
                    let mut inner = |called: &mut bool| {
                        *called = true;
                        nested(rest, poll);
                    };
                    let _ = guarded(|| first.in_scope(&mut || inner(&mut called)));
                    if !called {
                        inner(&mut called);
                    }
                }
                None => poll(),
            }
        }
        nested(&mut self.0, poll);
    }

    fn on_body_end(&mut self, end: BodyEnd<'_>) {
        self.each(|observer| observer.on_body_end(end));
    }
}
