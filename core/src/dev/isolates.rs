//! Several isolates of one place: services of the same Worker in one workerd that
//! share the Durable Objects of the first, as isolates do on Cloudflare.

use std::path::Path;

use super::DevError;
use super::edge::Files;

/// What the configuration must have to be made into one of several.
const SERVICE: &str = r#"(name = "edge", worker = .edge),"#;
const SOCKET: &str = r#"(name = "http", address = "127.0.0.1:8787", http = (), service = "edge")"#;
const WORKER: &str = "const edge :Workerd.Worker = (";
const NAMESPACE: &str = "durableObjectNamespace = \"";

/// The configuration of an edge with one more isolate for each of `ports`.
fn configuration(one: &str, ports: &[u16]) -> Result<String, DevError> {
    let lacks = |what: &str| DevError(format!("the edge's configuration has no {what}"));
    for part in [SERVICE, SOCKET, WORKER] {
        if !one.contains(part) {
            return Err(lacks(part));
        }
    }
    let (mut services, mut sockets) = (SERVICE.to_owned(), SOCKET.to_owned());
    for (number, port) in (2..).zip(ports) {
        services.push_str(&format!(
            "\n    (name = \"edge{number}\", worker = .another),"
        ));
        sockets.push_str(&format!(
            ",\n    (name = \"http{number}\", address = \"127.0.0.1:{port}\", http = (), service = \"edge{number}\")"
        ));
    }
    // The same Worker without objects of its own.
    let (_, worker) = one.split_once(WORKER).ok_or_else(|| lacks(WORKER))?;
    let (worker, _) = worker.split_once("\n);").ok_or_else(|| lacks("end"))?;
    let mut another = String::new();
    let mut own = false;
    for line in worker.lines() {
        own |= line.starts_with("  durableObject");
        if !own {
            another.push_str(&of_the_first(line));
            another.push('\n');
        }
        // What is further in is a part of it still.
        own &= line.starts_with("    ") || !(line.ends_with("],") || line.ends_with("),"));
    }
    let several = one.replacen(SERVICE, &services, 1);
    let several = several.replacen(SOCKET, &sockets, 1);
    Ok(format!(
        "{several}\nconst another :Workerd.Worker = ({another});\n"
    ))
}

/// A binding of a namespace, as another service than its own has it.
fn of_the_first(line: &str) -> String {
    let Some((before, after)) = line.split_once(NAMESPACE) else {
        return line.to_owned();
    };
    let (class, rest) = after.split_once('"').unwrap_or((after, ""));
    format!(
        "{before}durableObjectNamespace = (className = \"{class}\", serviceName = \"edge\"){rest}"
    )
}

impl Files {
    /// The same edge with one more isolate for each of `ports`, which listen on
    /// loopback; its files are written to `folder`.
    ///
    /// # Errors
    /// The bundle cannot be copied, or its configuration is not as expected.
    pub fn with_isolates(&self, ports: &[u16], folder: &Path) -> Result<Self, DevError> {
        let bundle = self.config().parent().unwrap_or(folder);
        for entry in std::fs::read_dir(bundle).map_err(DevError::new)?.flatten() {
            std::fs::copy(entry.path(), folder.join(entry.file_name())).map_err(DevError::new)?;
        }
        let one = std::fs::read_to_string(self.config()).map_err(DevError::new)?;
        let config = folder.join("workerd.capnp");
        std::fs::write(&config, configuration(&one, ports)?).map_err(DevError::new)?;
        Ok(self.with_config(config))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_more_isolate_is_a_service_with_a_socket_and_the_firsts_objects() {
        let one = include_str!("../../../edge/workerd.capnp");
        let several = configuration(one, &[9001, 9002]).unwrap();
        let count = |what: &str| several.matches(what).count();
        assert_eq!(count("worker = .another"), 2);
        assert_eq!(count("address = \"127.0.0.1:900"), 2);
        let namespaces = one.matches(NAMESPACE).count();
        assert!(namespaces > 0);
        assert_eq!(count(NAMESPACE), namespaces);
        assert_eq!(count("serviceName = \"edge\")"), namespaces);
        assert_eq!(count("uniqueKey"), one.matches("uniqueKey").count());
        assert_eq!(count("durableObjectStorage"), 1);
        assert_eq!(count("CORE_URL\", from"), 2);
        let (open, close) = (count("("), count(")"));
        assert_eq!(open, close);
        assert!(configuration("", &[1]).is_err());
    }
}
