//! The families of listeners.

use std::{collections::BTreeMap, time::SystemTime};

use crate::{
    metric::{
        list,
        readout::Readout,
        sample::{Labels, Sink, Value},
    },
    report::{ListenerReport, time::unix_seconds},
};

pub(super) fn visit<S: Sink>(readout: &Readout, sink: &mut S) -> Result<(), S::Error> {
    let listeners = &readout.snapshot.listeners;
    let infos = listeners
        .iter()
        .map(|listener| (Labels::of("listener", &listener.name).with("mode", &listener.mode), Value::Integer(1)));
    sink.family(&list::LISTENER_INFO, infos)?;
    for readings in &readout.readings {
        let series = readings.series.iter().filter_map(|series| {
            let labels = Labels::of("listener", &listeners.get(series.listener)?.name);
            let labels = match &series.label {
                Some((name, value)) => labels.with(name, value),
                None => labels,
            };
            Some((labels, Value::Integer(series.value)))
        });
        sink.family(&readings.family, series)?;
    }
    let expiries = listeners.iter().flat_map(|listener| {
        expiries(listener).into_iter().map(|(certificate, at)| {
            let labels = Labels::of("listener", &listener.name).with("certificate", certificate);
            (labels, Value::Float(unix_seconds(at)))
        })
    });
    sink.family(&list::LISTENER_CERTIFICATE_EXPIRY, expiries)
}

/// Returns when each certificate expires. Of certificates with the same source, the first one that expires counts.
fn expiries(listener: &ListenerReport) -> BTreeMap<&str, SystemTime> {
    let mut expiries = BTreeMap::new();
    for certificate in &listener.certificates {
        let expiry = expiries.entry(&*certificate.source).or_insert(certificate.not_after);
        *expiry = (*expiry).min(certificate.not_after);
    }
    expiries
}
