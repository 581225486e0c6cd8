//! What is left after a power loss. Everything synced is; of the rest, the seed decides.

use std::collections::BTreeMap;

use base::Rng;

use super::file::{Fate, FileNode, SECTOR};
use super::names::FolderNode;
use super::{Node, ROOT, State};

/// What is kept of what was pending.
#[derive(Clone, Copy, Debug)]
enum Keep {
    Nothing,
    All,
    /// What happened up to this step: a disk that keeps the order.
    Before(u64),
    /// Each piece of so many sectors for itself.
    Pieces(usize),
    /// Of a file what lies before some byte.
    Front,
}

struct Fates {
    rng: Rng,
    keep: Keep,
    /// For `Pieces`: the piece that was decided last, and how. For `Front`: where it ends.
    piece: Option<usize>,
    until: u64,
    end: usize,
}

/// Sectors of a page.
const PAGE: usize = 4096 / SECTOR;

/// The disk after the power came back.
pub(super) fn settle(state: &State, seed: u64) -> State {
    let rng = Rng::seeded(seed);
    let (bytes, names) = modes(&rng, state.steps);
    let mut after = State {
        next_node: state.next_node,
        space: state.space,
        ..State::default()
    };
    after.trace.push_back(format!(
        "after a crash at step {} with seed {seed}: bytes {bytes:?}, names {names:?}",
        state.steps
    ));
    let mut fates = Fates {
        rng,
        keep: bytes,
        piece: None,
        until: 0,
        end: 0,
    };
    settle_folder(state, ROOT, names, &mut fates, &mut after.nodes);
    after
}

/// Some seeds are the simple cases, in which mistakes are easiest to understand.
fn modes(rng: &Rng, steps: u64) -> (Keep, Keep) {
    let before = Keep::Before(steps.saturating_sub(rng.below(40)));
    match rng.below(10) {
        0 => (Keep::Nothing, Keep::Nothing),
        1 => (Keep::All, Keep::All),
        2 => (Keep::Nothing, Keep::All),
        3 => (Keep::All, Keep::Pieces(1)),
        4 | 5 => (before, before),
        6 => (Keep::Front, Keep::Before(steps)),
        7 => (Keep::Pieces(PAGE), Keep::Pieces(1)),
        8 => (Keep::Pieces(1), Keep::All),
        _ => (Keep::Pieces(1), Keep::Pieces(1)),
    }
}

fn settle_folder(
    state: &State,
    node: u64,
    names: Keep,
    fates: &mut Fates,
    nodes: &mut BTreeMap<u64, Node>,
) {
    let Ok(folder) = state.folder(node) else {
        return;
    };
    let kept = folder.settled(|step| match names {
        Keep::Nothing => false,
        Keep::All => true,
        Keep::Before(until) => step <= until,
        Keep::Pieces(_) | Keep::Front => fates.rng.below(2) == 0,
    });
    for inner in kept.values() {
        if let Ok(file) = state.file(*inner) {
            fates.begin(file);
            let bytes = file.settled(fates);
            nodes.insert(*inner, Node::File(FileNode::durable(bytes)));
        } else {
            settle_folder(state, *inner, names, fates, nodes);
        }
    }
    nodes.insert(node, Node::Folder(FolderNode::with(kept)));
}

impl Fates {
    fn begin(&mut self, file: &FileNode) {
        self.piece = None;
        let sectors = file.live.len().div_ceil(SECTOR) as u64;
        self.end = usize::try_from(self.rng.below(sectors + 1)).unwrap_or(0);
    }

    /// Some step, or before or behind all.
    fn some(&self, steps: &[u64]) -> u64 {
        let at = self.rng.below(steps.len() as u64 + 2);
        let at = usize::try_from(at).unwrap_or(0);
        if at == steps.len() {
            return 0;
        }
        steps.get(at).copied().unwrap_or(u64::MAX)
    }
}

impl Fate for Fates {
    fn sector(&mut self, sector: usize, steps: &[u64]) -> u64 {
        match self.keep {
            Keep::Nothing => 0,
            Keep::All => u64::MAX,
            Keep::Before(until) => until,
            Keep::Front if sector < self.end => u64::MAX,
            Keep::Front => 0,
            Keep::Pieces(sectors) => {
                if self.piece != Some(sector / sectors) {
                    self.piece = Some(sector / sectors);
                    self.until = self.some(steps);
                }
                self.until
            }
        }
    }

    fn length(&mut self, steps: &[u64]) -> u64 {
        match self.keep {
            Keep::Nothing => 0,
            Keep::All | Keep::Front => u64::MAX,
            Keep::Before(until) => until,
            // Mostly there: else nothing behind the old length would ever be found.
            Keep::Pieces(_) if self.rng.below(4) > 0 => u64::MAX,
            Keep::Pieces(_) => self.some(steps),
        }
    }
}
