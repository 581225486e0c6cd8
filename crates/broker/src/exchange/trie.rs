//! Topic patterns as a trie: an edge for each word, one for `*` (any word) and one for `#` (any
//! number of words, none included).
//!
//! A key is a list of words between dots; the empty key is the list without a word. All patterns
//! are followed at once, word by word: the nodes that the words so far lead to are the state, as in
//! an automaton. A `#` node that was reached stays in the state for the rest of the key, since it
//! takes any word. Without two `#` on a path no node can be reached twice at the same word; a `#`
//! below another one can, so those are remembered and followed once. A key of w words therefore
//! visits a node at most w + 1 times, whatever the patterns are; trying out each `#` in turn would
//! take time exponential in their number.
//!
//! Words are kept once and edges are small numbers in one table, so a pattern costs little more
//! than the words that no other has, and a word of a key that no pattern has ends a comparison at
//! once.

use std::cell::Cell;
use std::sync::Arc;

use base::HashMap;

use super::few::Few;

/// The node that all patterns begin at; no edge leads to it, so as an edge it means "none".
const ROOT: u32 = 0;

/// Patterns and what is under each.
#[derive(Debug)]
pub(super) struct Trie<T> {
    nodes: Vec<Node<T>>,
    /// Nodes that are in no use.
    free: Vec<u32>,
    words: Words,
    /// From a node, by a word, to a node.
    edges: HashMap<(u32, u32), u32>,
}

#[derive(Debug)]
struct Node<T> {
    /// By `*`.
    star: u32,
    /// By `#`.
    hash: u32,
    /// How many edges by a word.
    edges: u32,
    /// Whether it was reached by `#`, and whether another `#` is above that one.
    depth: Hashes,
    targets: Few<T>,
}

/// How many `#` are on the way to a node, its own included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hashes {
    None,
    One,
    More,
}

impl Hashes {
    fn deeper(self) -> Self {
        match self {
            Self::None => Self::One,
            Self::One | Self::More => Self::More,
        }
    }
}

impl<T> Node<T> {
    fn new(depth: Hashes) -> Self {
        Self {
            star: ROOT,
            hash: ROOT,
            edges: 0,
            depth,
            targets: Few::default(),
        }
    }

    fn is_leaf(&self) -> bool {
        self.star == ROOT && self.hash == ROOT && self.edges == 0
    }
}

/// The words of a key or pattern.
pub(super) fn words(key: &[u8]) -> impl Iterator<Item = &[u8]> {
    let none = key.is_empty();
    key.split(|byte| *byte == b'.').filter(move |_| !none)
}

impl<T> Default for Trie<T> {
    fn default() -> Self {
        Self {
            nodes: vec![Node::new(Hashes::None)],
            free: Vec::new(),
            words: Words::default(),
            edges: HashMap::default(),
        }
    }
}

impl<T: PartialEq> Trie<T> {
    /// Puts `target` under a pattern, once more if it is there already.
    pub(super) fn insert(&mut self, pattern: &[u8], target: T) {
        let mut at = ROOT;
        for word in words(pattern) {
            at = match word {
                b"*" => self.by_star(at),
                b"#" => self.by_hash(at),
                word => self.by_word(at, word),
            };
        }
        self.node(at).targets.push(target);
    }

    fn by_star(&mut self, at: u32) -> u32 {
        if self.nodes[at as usize].star == ROOT {
            let depth = self.nodes[at as usize].depth;
            self.nodes[at as usize].star = self.add(depth);
        }
        self.nodes[at as usize].star
    }

    fn by_hash(&mut self, at: u32) -> u32 {
        if self.nodes[at as usize].hash == ROOT {
            let depth = self.nodes[at as usize].depth.deeper();
            self.nodes[at as usize].hash = self.add(depth);
        }
        self.nodes[at as usize].hash
    }

    fn by_word(&mut self, at: u32, word: &[u8]) -> u32 {
        let known = self.words.get(word);
        if let Some(to) = known.and_then(|word| self.edges.get(&(at, word))) {
            return *to;
        }
        let word = self.words.take(word);
        let depth = self.nodes[at as usize].depth;
        let to = self.add(depth);
        self.edges.insert((at, word), to);
        self.node(at).edges += 1;
        to
    }

    fn node(&mut self, at: u32) -> &mut Node<T> {
        &mut self.nodes[at as usize]
    }

    fn add(&mut self, depth: Hashes) -> u32 {
        let node = Node::new(depth);
        if let Some(free) = self.free.pop() {
            self.nodes[free as usize] = node;
            return free;
        }
        self.nodes.push(node);
        // There are far fewer bindings than 2^32, and a key has at most 128 words.
        u32::try_from(self.nodes.len() - 1).unwrap_or(u32::MAX)
    }

    /// Takes `target` away from under a pattern, once, and what only that pattern needed with it.
    /// Says whether it was there.
    pub(super) fn remove(&mut self, pattern: &[u8], target: &T) -> bool {
        let mut path = Vec::new();
        let mut at = ROOT;
        for word in words(pattern) {
            let node = &self.nodes[at as usize];
            let to = match word {
                b"*" => node.star,
                b"#" => node.hash,
                word => {
                    let edge = self.words.get(word).map(|word| (at, word));
                    edge.and_then(|edge| self.edges.get(&edge).copied())
                        .unwrap_or(ROOT)
                }
            };
            if to == ROOT {
                return false;
            }
            path.push((at, word, to));
            at = to;
        }
        if !self.node(at).targets.remove(target) {
            return false;
        }
        for (from, word, to) in path.into_iter().rev() {
            let node = &self.nodes[to as usize];
            if !node.is_leaf() || !node.targets.as_slice().is_empty() {
                break;
            }
            self.cut(from, word);
            self.free.push(to);
        }
        true
    }

    fn cut(&mut self, from: u32, word: &[u8]) {
        match word {
            b"*" => self.node(from).star = ROOT,
            b"#" => self.node(from).hash = ROOT,
            word => {
                if let Some(word) = self.words.get(word) {
                    self.edges.remove(&(from, word));
                    self.words.give_back(word);
                    self.node(from).edges -= 1;
                }
            }
        }
    }

    /// Hands `found` everything whose pattern fits `key`. What is under two patterns that fit comes
    /// twice.
    pub(super) fn visit<'a>(&'a self, key: &[u8], found: &mut dyn FnMut(&'a T)) {
        let mut scratch = SCRATCH.take();
        let mut walk = Walk {
            trie: self,
            scratch: &mut scratch,
            found,
        };
        walk.enter(ROOT);
        for word in words(key) {
            walk.next(self.words.get(word));
        }
        for at in scratch.here.drain(..).chain(scratch.hashes.drain(..)) {
            let targets = self.nodes[at as usize].targets.as_slice();
            targets.iter().for_each(&mut *found);
        }
        scratch.nested.clear();
        SCRATCH.set(scratch);
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.edges.is_empty()
            && self.nodes.len() == self.free.len() + 1
            && self.words.numbers.is_empty()
    }
}

thread_local! {
    /// Lists that the next comparison on this thread uses again. They hold at most a number for
    /// each node.
    static SCRATCH: Cell<Scratch> = const { Cell::new(Scratch::EMPTY) };
}

/// Where the words of a key have led to so far.
#[derive(Debug)]
struct Scratch {
    /// Nodes that exactly these words lead to.
    here: Vec<u32>,
    /// Nodes that all words but the last lead to.
    before: Vec<u32>,
    /// `#` nodes on the way that more words may follow.
    hashes: Vec<u32>,
    /// Those of the `#` nodes that have another above them and could come twice.
    nested: Vec<u32>,
}

impl Scratch {
    const EMPTY: Self = Self {
        here: Vec::new(),
        before: Vec::new(),
        hashes: Vec::new(),
        nested: Vec::new(),
    };
}

impl Default for Scratch {
    fn default() -> Self {
        Self::EMPTY
    }
}

struct Walk<'a, 'f, T> {
    trie: &'a Trie<T>,
    scratch: &'f mut Scratch,
    found: &'f mut dyn FnMut(&'a T),
}

impl<T> Walk<'_, '_, T> {
    fn next(&mut self, word: Option<u32>) {
        std::mem::swap(&mut self.scratch.before, &mut self.scratch.here);
        self.scratch.here.clear();
        // A `#` that this word leads to takes the next one first.
        for at in 0..self.scratch.hashes.len() {
            let from = self.scratch.hashes[at];
            self.step(from, word);
        }
        for at in 0..self.scratch.before.len() {
            let from = self.scratch.before[at];
            self.step(from, word);
        }
    }

    fn step(&mut self, from: u32, word: Option<u32>) {
        let node = &self.trie.nodes[from as usize];
        if node.edges > 0 {
            let edge = word.and_then(|word| self.trie.edges.get(&(from, word)));
            if let Some(to) = edge {
                self.enter(*to);
            }
        }
        if node.star != ROOT {
            self.enter(node.star);
        }
    }

    /// Comes to a node, and to what follows it without a word.
    fn enter(&mut self, at: u32) {
        self.scratch.here.push(at);
        let mut hash = self.trie.nodes[at as usize].hash;
        while hash != ROOT {
            let node = &self.trie.nodes[hash as usize];
            if node.depth == Hashes::More {
                match self.scratch.nested.binary_search(&hash) {
                    Ok(_) => return,
                    Err(place) => self.scratch.nested.insert(place, hash),
                }
            }
            if node.is_leaf() {
                // It fits whatever comes, and nothing comes behind it.
                node.targets.as_slice().iter().for_each(&mut *self.found);
            } else {
                self.scratch.hashes.push(hash);
            }
            hash = node.hash;
        }
    }
}

/// Every word once, with a number.
#[derive(Debug, Default)]
struct Words {
    numbers: HashMap<Arc<[u8]>, u32>,
    /// By number: the word, and how many edges have it.
    kept: Vec<(Arc<[u8]>, u32)>,
    free: Vec<u32>,
}

impl Words {
    fn get(&self, word: &[u8]) -> Option<u32> {
        self.numbers.get(word).copied()
    }

    fn take(&mut self, word: &[u8]) -> u32 {
        if let Some(number) = self.get(word) {
            self.kept[number as usize].1 += 1;
            return number;
        }
        let word: Arc<[u8]> = Arc::from(word);
        let number = if let Some(free) = self.free.pop() {
            self.kept[free as usize] = (word.clone(), 1);
            free
        } else {
            self.kept.push((word.clone(), 1));
            u32::try_from(self.kept.len() - 1).unwrap_or(u32::MAX)
        };
        self.numbers.insert(word, number);
        number
    }

    fn give_back(&mut self, number: u32) {
        let (word, uses) = &mut self.kept[number as usize];
        *uses -= 1;
        if *uses == 0 {
            self.numbers.remove(&**word);
            *word = Arc::from(&[][..]);
            self.free.push(number);
        }
    }
}

#[cfg(test)]
mod tests;
