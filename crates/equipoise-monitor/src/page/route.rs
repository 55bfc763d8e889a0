use super::assets::{ASSETS, Asset};

/// What a path of the page stands for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// The page, or the state as JSON.
    Page,
    /// The state as JSON.
    Status,
    /// The stream of updates.
    Updates,
    /// A file that the page loads.
    Asset(&'static Asset),
    /// The explanation of a pick.
    Explain,
    /// Changes of endpoints.
    Endpoints,
    /// The path without the slash at its end, with the relative path to which the client is sent. Relative links of the
    /// page lead elsewhere without the slash.
    Redirect(String),
}

/// The paths of the page, relative to its own, without those of its files.
#[cfg(feature = "axum")]
pub(super) const PATHS: [&str; 5] = ["", "status.json", "updates", "explain", "endpoints"];

/// Where a page is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// The path, which begins and ends with a slash.
    path: String,
}

impl Mount {
    /// Reads a path. Slashes at its ends may be left out.
    pub(super) fn new(path: &str) -> Self {
        match path.trim_matches('/') {
            "" => Self { path: "/".to_owned() },
            path => Self { path: format!("/{path}/") },
        }
    }

    /// Returns the path, which begins and ends with a slash.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Returns what the path of a request stands for. `original` is the path that the client has sent, if a router has
    /// taken away its beginning.
    pub(super) fn find(&self, path: &str, original: Option<&str>) -> Option<Route> {
        let below = match path.strip_prefix(self.path.as_str()) {
            Some(below) => below,
            None if path == self.path.trim_end_matches('/') => return Some(with_slash(original.unwrap_or(path))),
            None => return None,
        };
        Some(match below {
            "" => match original {
                // The router passes on `/` for the path without the slash, too.
                Some(original) if !original.ends_with('/') => with_slash(original),
                _ => Route::Page,
            },
            "status.json" => Route::Status,
            "updates" => Route::Updates,
            "explain" => Route::Explain,
            "endpoints" => Route::Endpoints,
            _ => {
                let name = below.strip_prefix("assets/")?;
                Route::Asset(ASSETS.iter().find(|asset| asset.name == name)?)
            }
        })
    }
}

impl Default for Mount {
    fn default() -> Self {
        Self::new("/")
    }
}

/// Returns a redirection to the path with a slash at its end. The target is relative to the directory of the path: an
/// absolute one that begins with two slashes would lead to another host. `./` keeps a colon from being read as the end
/// of a scheme.
fn with_slash(path: &str) -> Route {
    let last = path.rsplit('/').next().unwrap_or_default();
    Route::Redirect(format!("./{last}/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_below_the_mount_point_only() {
        let root = Mount::default();
        assert_eq!(root.find("/", None), Some(Route::Page));
        assert_eq!(root.find("/updates", None), Some(Route::Updates));
        assert_eq!(root.find("/updates/", None), None);
        assert_eq!(root.find("/assets/page.js", None), Some(Route::Asset(&ASSETS[1])));
        for path in ["/assets/", "/assets/../page.js", "/assets/page.html", "//updates", "/status", "", "*"] {
            assert!(matches!(root.find(path, None), None | Some(Route::Redirect(_))), "{path}");
        }
        for path in ["admin/status", "/admin/status", "/admin/status/", "///admin/status///"] {
            let mount = Mount::new(path);
            assert_eq!(mount.path(), "/admin/status/");
            assert_eq!(mount.find("/admin/status/", None), Some(Route::Page));
            assert_eq!(mount.find("/admin/status/explain", None), Some(Route::Explain));
            assert_eq!(mount.find("/admin/status", None), Some(Route::Redirect("./status/".to_owned())));
            assert_eq!(mount.find("/admin/statuses/", None), None);
            assert_eq!(mount.find("/", None), None);
        }
    }

    #[test]
    fn a_page_behind_a_router_that_takes_the_prefix_away_is_sent_to_its_path_with_a_slash() {
        let mount = Mount::default();
        assert_eq!(mount.find("/", Some("/status")), Some(Route::Redirect("./status/".to_owned())));
        assert_eq!(mount.find("/", Some("/status/")), Some(Route::Page));
        assert_eq!(mount.find("/updates", Some("/status/updates")), Some(Route::Updates));
    }

    #[test]
    fn no_redirection_leads_to_another_host() {
        for path in ["//evil.test", "/https:", "/a//evil.test:80", "/\\evil.test", ""] {
            let Route::Redirect(location) = with_slash(path) else { panic!("{path}") };
            assert!(location.starts_with("./") && location.matches('/').count() == 2, "{location}");
        }
    }
}
