use super::{
    pattern::{InvalidPattern, PathPattern},
    uri::{PathAction, PathFault, UriPolicy},
};

/// Paths that are exempt from a protection.
///
/// A path is exempt only if all servers read it as the same path: it is as [`UriPolicy`] forwards it, contains no
/// encoding after decoding (`%252F`), and no encoded `?` or `#`, at which a server that decodes first would end the path.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExemptPaths(Vec<PathPattern>);

impl ExemptPaths {
    const POLICY: UriPolicy = UriPolicy::new().on(PathFault::DoubleEncoding, PathAction::Refuse);

    pub(crate) fn add(&mut self, pattern: &str) -> Result<(), InvalidPattern> {
        self.0.push(pattern.parse()?);
        Ok(())
    }

    pub(crate) fn contains(&self, path: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(path))
            && Self::POLICY.apply(path).is_ok_and(|plain| plain == path)
            && !["%3F", "%23"].iter().any(|end| path.contains(end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_some_servers_read_as_another_one_is_not_exempt() {
        let mut hook = ExemptPaths::default();
        hook.add("/hook/**").expect("a pattern");
        hook.add("/**/hook").expect("a pattern");
        for path in ["/hook", "/hook/", "/hook/a.b/c", "/x/hook", "/hook/caf%C3%A9", "/hook/a%20b"] {
            assert!(hook.contains(path), "{path}");
        }
        for path in [
            // Segments that are resolved, or not.
            "/hook/../admin",
            "/hook/./a",
            "/hook/%2e%2e/admin",
            "/hook/.%2E/admin",
            "/admin/../hook",
            "//hook",
            "/hook//admin",
            "/admin//hook",
            // Separators that only some servers know.
            "/hook/..%2fadmin",
            "/admin%2Fhook",
            "/hook\\..\\admin",
            "/hook/..%5cadmin",
            // Parameters, which some servers remove.
            "/hook;x",
            "/hook/..;/admin",
            "/hook/..;x=1/admin",
            "/admin;/hook",
            "/hook%3bx",
            // Encodings of what needs none, and encodings that are decoded twice.
            "/%68ook",
            "/hoo%6B",
            "/hook/%252e%252e/admin",
            "/hook/%252fadmin",
            "/hook/%25%32%65",
            "/ho%256fk",
            "/hook/%2561",
            // An end of the path for servers that decode first.
            "/admin%3F/hook",
            "/admin%3f/hook",
            "/admin%23/hook",
            "/hook/%00",
            "/hook/%0a",
            "/hook/%c0%af",
            "/hook/%",
            // Another path.
            "/Hook",
            "/HOOK",
            "/hooks",
            "hook",
            "*",
            "",
        ] {
            assert!(!hook.contains(path), "{path}");
        }
    }
}
