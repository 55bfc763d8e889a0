//! Monitoring with real peers: Prometheus, a browser, load over sockets.
