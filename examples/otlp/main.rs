//! Traces over OTLP: a client sends a request through a reverse proxy to two backends. The first of them breaks the
//! connection, so the request goes to the second one. The client and the proxy export their spans.
//!
//! Without an argument, the program receives the spans itself and prints them as a tree:
//!
//! ```text
//! cargo run -p equipoise-otlp --example otlp
//! ```
//!
//! With the address of a collector for OTLP over HTTP (of OpenTelemetry, Jaeger, Tempo and others), it exports them
//! there:
//!
//! ```text
//! cargo run -p equipoise-otlp --example otlp -- http://127.0.0.1:4318
//! ```

mod collector;
mod export;
mod shop;
mod tree;

use self::collector::Collector;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (address, own) = match std::env::args().nth(1) {
        Some(address) => (address, None),
        None => {
            let collector = Collector::start().await?;
            (collector.url(), Some(collector))
        }
    };
    let exporting = export::start(&address)?;
    let shop = shop::open().await?;
    println!("the client got: {}", shop.order().await?);
    exporting.finish().await?;

    let Some(collector) = own else {
        println!("the spans were exported to {address}");
        return Ok(());
    };
    print!("{}", tree::text(&collector.spans()));
    for backend in [&shop.broken, &shop.working] {
        for traceparent in backend.traceparents() {
            println!("{} got traceparent: {traceparent}", backend.address);
        }
    }
    Ok(())
}
