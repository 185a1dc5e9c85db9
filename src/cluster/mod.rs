//! What a Redis Cluster is, in the field's own words, and the parsers of what servers say about it.
//!
//! Pure: no I/O, no clock, no async. Everything a server sends is read here and nowhere else, so
//! that one place decides what is believed.

mod info;
mod log;
mod node;
mod nodes;
mod reply;
mod resp;
mod slot;
mod slots;
mod strip;
mod words;

pub use info::{ClusterInfo, Info};
pub use log::{Level, LogRole, LogTime, Prefix, Stamp};
pub use node::{NodeAddr, NodeId, Role};
pub use nodes::{Flags, NodeLine, OpenSlot, parse_nodes, with_shard_ids};
pub use reply::{ParseError, Reply, printable};
pub use resp::{Redirect, Resp};
pub use slot::{SLOT_COUNT, SlotRange, slot_of, slot_text, tag_in};
pub use slots::{ShardNode, SlotsEntry, parse_shards, parse_slots};
pub use strip::{Cell, ranges_of, strip};
pub use words::{counted, is_word, quoted, split_words};
