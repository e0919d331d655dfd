//! Pages of the feed on the wire.

use agentidp_verify::feed::Page;
use proptest::prelude::*;

use super::revocations::entry;

fn page() -> impl Strategy<Value = Page> {
    let entries = prop::collection::vec(entry(), 0..6);
    (any::<[u64; 3]>(), any::<bool>(), entries).prop_map(
        |([cursor, now_ms, window_ms], more, entries)| Page {
            cursor,
            more,
            now_ms,
            window_ms,
            entries,
        },
    )
}

proptest! {
    #![proptest_config(super::config())]

    #[test]
    fn a_page_is_read_as_it_was_written_cursor_and_order_included(page in page()) {
        let bytes = serde_json::to_vec(&page).unwrap();
        prop_assert_eq!(Page::read(&bytes).unwrap(), page);
    }

    #[test]
    fn a_page_that_was_cut_short_is_no_page(page in page(), at in any::<prop::sample::Index>()) {
        let bytes = serde_json::to_vec(&page).unwrap();
        prop_assert!(Page::read(&bytes[..at.index(bytes.len())]).is_err());
    }
}
