//! Prints spans as a tree.

use std::fmt::Write;

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::{Span, span::SpanKind},
};

/// The spans as a tree: each one with its fields and events, below its parent, in the order of time.
pub(crate) fn text(spans: &[Span]) -> String {
    let mut text = String::new();
    for root in spans.iter().filter(|span| !spans.iter().any(|other| other.span_id == span.parent_span_id)) {
        write_below(&mut text, spans, root, 0);
    }
    text
}

fn write_below(text: &mut String, spans: &[Span], span: &Span, depth: usize) {
    let indent = "    ".repeat(depth);
    let kind = SpanKind::try_from(span.kind).unwrap_or_default();
    let kind = kind.as_str_name().trim_start_matches("SPAN_KIND_").to_lowercase();
    let millis = span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano) as f64 / 1e6;
    // Writing to a string does not fail.
    let _ = writeln!(text, "{indent}{} ({kind}, {millis:.1} ms, span {})", span.name, hex(&span.span_id));
    if let Some(status) = span.status.as_ref().filter(|status| !status.message.is_empty()) {
        let _ = writeln!(text, "{indent}  error: {}", status.message);
    }
    for field in &span.attributes {
        let _ = writeln!(text, "{indent}  {}", field_text(field));
    }
    for event in &span.events {
        let fields = event.attributes.iter().filter(|field| field.key.starts_with("equipoise."));
        let fields: Vec<_> = fields.map(field_text).collect();
        let _ = writeln!(text, "{indent}  * {} {}", event.name, fields.join(" "));
    }
    let mut children: Vec<_> = spans.iter().filter(|child| child.parent_span_id == span.span_id).collect();
    children.sort_by_key(|child| child.start_time_unix_nano);
    for child in children {
        write_below(text, spans, child, depth + 1);
    }
}

fn field_text(field: &KeyValue) -> String {
    format!("{}={}", field.key, field.value.as_ref().map(value_text).unwrap_or_default())
}

/// A value as text. Spans of balancers have texts and numbers only.
pub(crate) fn value_text(value: &AnyValue) -> String {
    match &value.value {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::BoolValue(truth)) => truth.to_string(),
        other => format!("{other:?}"),
    }
}

/// An id in hexadecimal digits.
pub(crate) fn hex(id: &[u8]) -> String {
    id.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
