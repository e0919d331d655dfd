//! `.agentidp/dev.env`: what a first user, or a test, needs to talk to this
//! deployment. And the lines to paste.

use std::collections::HashMap;

use super::DevError;
use super::demo::Demo;
use super::folder::Folder;

const NAME: &str = "dev.env";
/// The edge's own credential: nobody's but the edge's.
const EDGE_NAME: &str = "edge.env";

/// Writes both files, with mode 0600.
pub(super) fn write(
    folder: &Folder,
    url: &str,
    edge_url: &str,
    demo: &Demo,
) -> Result<(), DevError> {
    let lines = [
        ("AGENTIDP_URL", url.to_owned()),
        ("AGENTIDP_EDGE_URL", edge_url.to_owned()),
        ("AGENTIDP_OPERATOR_CLIENT_ID", demo.operator.0.to_string()),
        (
            "AGENTIDP_OPERATOR_CLIENT_SECRET",
            demo.operator.1.reveal().to_owned(),
        ),
        ("AGENTIDP_ORG_ID", demo.org_id.to_string()),
        ("AGENTIDP_CLIENT_ID", demo.agent.0.to_string()),
        ("AGENTIDP_CLIENT_SECRET", demo.agent.1.reveal().to_owned()),
        ("AGENTIDP_ADMIN_CLIENT_ID", demo.administrator.0.to_string()),
        (
            "AGENTIDP_ADMIN_CLIENT_SECRET",
            demo.administrator.1.reveal().to_owned(),
        ),
    ];
    folder.write_private(NAME, &join(&lines))?;
    let edge = [
        ("EDGE_ID", demo.edge_id.clone()),
        ("EDGE_SECRET", demo.edge_secret.clone()),
    ];
    folder.write_private(EDGE_NAME, &join(&edge))
}

fn join(lines: &[(&str, String)]) -> String {
    lines
        .iter()
        .map(|(name, value)| format!("{name}={value}\n"))
        .collect()
}

/// What an earlier start wrote; nothing where there was none.
pub(super) fn read(folder: &Folder) -> HashMap<String, String> {
    [NAME, EDGE_NAME]
        .into_iter()
        .filter_map(|name| std::fs::read_to_string(folder.file(name)).ok())
        .flat_map(|text| {
            let lines = text.lines().filter_map(|line| line.split_once('='));
            lines
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Three calls: a token, its use at the edge, and its end.
pub(super) fn paste_next(folder: &Folder) -> String {
    let env = folder.file(NAME);
    format!(
        r#"
Ready. Paste, in another terminal:

  . {}
  TOKEN=$(curl -s -u "$AGENTIDP_CLIENT_ID:$AGENTIDP_CLIENT_SECRET" -d grant_type=client_credentials "$AGENTIDP_URL/api/v1/token" | sed 's/.*"access_token":"\([^"]*\)".*/\1/'); echo "$TOKEN"
  curl -i -H "Authorization: Bearer $TOKEN" "$AGENTIDP_EDGE_URL/hello"
  curl -s -u "$AGENTIDP_CLIENT_ID:$AGENTIDP_CLIENT_SECRET" -d "token=$TOKEN" "$AGENTIDP_URL/api/v1/token/revoke"; sleep 2; curl -i -H "Authorization: Bearer $TOKEN" "$AGENTIDP_EDGE_URL/hello"

Ctrl-C stops all of it; the next start finds the same data.
"#,
        env.display()
    )
}
