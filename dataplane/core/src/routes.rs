//! Which route takes a request: the first whose listener, host and path hold.

use pinfold_wire::Match;

/// Whether the conditions hold for a request to `host` (as in its `Host` field) with this path (as received).
///
/// Paths are compared byte for byte: `%2F`, dot segments and case are left as they are, so what is matched is what the
/// endpoint will see.
pub fn holds(conditions: &Match, host: &str, path: &str) -> bool {
    let name = without_port(host);
    (conditions.hosts.is_empty() || conditions.hosts.iter().any(|pattern| host_holds(pattern, name)))
        && (conditions.paths.is_empty() || conditions.paths.iter().any(|prefix| path_holds(prefix, path)))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    }
}

fn host_holds(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(suffix) => name
            .len()
            .checked_sub(suffix.len())
            .and_then(|at| name.split_at_checked(at))
            .is_some_and(|(front, end)| !front.is_empty() && end.eq_ignore_ascii_case(suffix)),
        None => pattern.eq_ignore_ascii_case(name),
    }
}

fn path_holds(prefix: &str, path: &str) -> bool {
    let Some(rest) = path.strip_prefix(prefix) else { return false };
    rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_hold_without_port_and_case_and_by_wildcard() {
        for (pattern, host, wanted) in [
            ("ex.org", "Ex.ORG:8080", true),
            ("ex.org", "www.ex.org", false),
            ("*.ex.org", "a.b.ex.org", true),
            ("*.ex.org", "ex.org", false),
            ("*.ex.org", ".ex.org", false),
            ("*.ex.org", "notex.org", false),
            ("[::1]", "[::1]:80", true),
            ("[::1]", "[::1]", true),
        ] {
            let conditions = Match { hosts: vec![pattern.to_owned()], paths: vec![] };
            assert_eq!(holds(&conditions, host, "/"), wanted, "{pattern} {host}");
        }
    }

    #[test]
    fn paths_hold_by_whole_segments_as_received() {
        for (prefix, path, wanted) in [
            ("/api", "/api", true),
            ("/api", "/api/x", true),
            ("/api", "/apix", false),
            ("/api/", "/api/x", true),
            ("/api/", "/api", false),
            ("/api", "/API", false),
            ("/api", "/%61pi", false),
            ("/", "/anything", true),
        ] {
            let conditions = Match { hosts: vec![], paths: vec![prefix.to_owned()] };
            assert_eq!(holds(&conditions, "h", path), wanted, "{prefix} {path}");
        }
    }
}
