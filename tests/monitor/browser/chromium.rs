use std::ops::Deref;

/// Functions for the scripts of tests: the row of an endpoint, the text of one of its cells, and its state.
const FUNCTIONS: &str = r#"
    const row = (id) => [...document.querySelectorAll(".table tbody tr")].find((row) => row.querySelector(".name")?.textContent === id);
    const cell = (id, column) => row(id)?.querySelector(`td.${column}`)?.innerText;
    const state = (id) => row(id)?.querySelector("td.state").dataset.state;
    const text = (selector) => document.querySelector(selector)?.innerText;
"#;

/// A Chromium for the status page.
pub(super) struct Browser(equipoise_tests::Browser);

impl Browser {
    /// Starts Chromium. `None` if it or chromedriver is not installed.
    pub(super) async fn start() -> Option<Self> {
        equipoise_tests::Browser::start(FUNCTIONS).await.map(Self)
    }

    /// Opens the page, and waits until it shows a state.
    pub(super) async fn open(&self, url: &str) {
        self.go(url).await;
        self.until("document.querySelector('#connection').dataset.live === 'yes'").await;
    }

    /// Ends the browser. Fails if the page has written to the console, or has requested anything of another origin.
    pub(super) async fn close(self, origin: &str) {
        self.0.close(origin).await;
    }

    /// Ends the browser without a look at what it has done.
    pub(super) async fn end(self) {
        self.0.end().await;
    }
}

impl Deref for Browser {
    type Target = equipoise_tests::Browser;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}
