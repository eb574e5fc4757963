//! The grammar that is written: productions of terminals and rules.

use std::collections::{HashMap, HashSet};

use super::shape::Shape;
use super::{Node, Options, Rules};

/// A part of the grammar that becomes one terminal.
#[derive(Debug, Clone, Copy)]
pub(super) enum Piece<'a> {
    /// Nodes that do not recur, one after the other.
    Nodes(&'a [Node]),
    /// A character of a text that was cut.
    Character(char),
}

/// What tells pieces apart: the place and number of its nodes, or the character.
pub(super) type Key = (usize, usize);

impl Piece<'_> {
    pub(super) fn key(self) -> Key {
        match self {
            Piece::Nodes(nodes) => (nodes.as_ptr() as usize, nodes.len()),
            Piece::Character(c) => (0, c as usize),
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Symbol {
    Terminal(usize),
    Rule(usize),
}

/// A symbol as often as it says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    pub(super) symbol: Symbol,
    pub(super) min: u32,
    pub(super) max: Option<u32>,
}

#[derive(Debug, Default)]
pub(super) struct Cfg<'a> {
    pub(super) terminals: Vec<Piece<'a>>,
    /// By rule its alternatives, the start first.
    pub(super) rules: Vec<Vec<Vec<Item>>>,
}

/// Writes the rules as productions, with parts that do not recur as terminals as long as possible; the pieces that
/// are `cut` are not kept whole.
pub(super) fn build<'a>(rules: &'a Rules, shape: &Shape, cut: &HashSet<Key>) -> Cfg<'a> {
    let mut builder =
        Builder { rules, shape, cut, cfg: Cfg::default(), terminals: HashMap::new(), numbers: HashMap::new() };
    builder.cfg.rules.push(Vec::new());
    builder.cfg.rules[0] = vec![builder.sequence(&rules.start)];
    builder.cfg
}

struct Builder<'a, 'b> {
    rules: &'a Rules,
    shape: &'b Shape,
    cut: &'b HashSet<Key>,
    cfg: Cfg<'a>,
    terminals: HashMap<Key, usize>,
    /// The numbers of the rules that are written.
    numbers: HashMap<usize, usize>,
}

impl<'a> Builder<'a, '_> {
    fn options(&mut self, options: &'a Options) -> Vec<Vec<Item>> {
        options.iter().map(|sequence| self.sequence(sequence)).collect()
    }

    fn sequence(&mut self, nodes: &'a [Node]) -> Vec<Item> {
        let shape = self.shape;
        let mut items = Vec::new();
        for part in nodes.chunk_by(|a, b| shape.is_regular_node(a) && shape.is_regular_node(b)) {
            self.part(part, &mut items);
        }
        items
    }

    /// Nodes that are all regular, or one that is not.
    fn part(&mut self, nodes: &'a [Node], items: &mut Vec<Item>) {
        let is_regular = nodes.iter().all(|node| self.shape.is_regular_node(node));
        if is_regular && !self.cut.contains(&Piece::Nodes(nodes).key()) {
            let symbol = self.terminal(Piece::Nodes(nodes));
            return items.push(Item { symbol, min: 1, max: Some(1) });
        }
        match nodes {
            [] => {}
            [node] => self.node(node, items),
            [first @ .., last] => {
                self.part(first, items);
                self.part(std::slice::from_ref(last), items);
            }
        }
    }

    /// A node that is not one terminal.
    fn node(&mut self, node: &'a Node, items: &mut Vec<Item>) {
        let once = |symbol| Item { symbol, min: 1, max: Some(1) };
        match node {
            Node::Text(text) => {
                for c in text.chars() {
                    items.push(once(self.terminal(Piece::Character(c))));
                }
            }
            Node::Class { .. } | Node::Any => items.push(once(self.terminal(Piece::Nodes(std::slice::from_ref(node))))),
            Node::Rule(rule) => items.push(once(Symbol::Rule(self.rule(*rule)))),
            Node::Group(options) => {
                let body = self.options(options);
                items.push(once(self.fresh(body)));
            }
            Node::Repeat { node, min, max } => {
                let mut inner = Vec::new();
                self.part(std::slice::from_ref(node), &mut inner);
                let symbol = match inner.as_slice() {
                    [item] if item.min == 1 && item.max == Some(1) => item.symbol,
                    _ => self.fresh(vec![inner]),
                };
                items.push(Item { symbol, min: *min, max: *max });
            }
        }
    }

    fn rule(&mut self, rule: usize) -> usize {
        if let Some(&number) = self.numbers.get(&rule) {
            return number;
        }
        let number = self.cfg.rules.len();
        self.cfg.rules.push(Vec::new());
        self.numbers.insert(rule, number);
        self.cfg.rules[number] = self.options(&self.rules.bodies[rule]);
        number
    }

    fn fresh(&mut self, body: Vec<Vec<Item>>) -> Symbol {
        self.cfg.rules.push(body);
        Symbol::Rule(self.cfg.rules.len() - 1)
    }

    fn terminal(&mut self, piece: Piece<'a>) -> Symbol {
        let terminals = &mut self.cfg.terminals;
        let number = *self.terminals.entry(piece.key()).or_insert_with(|| {
            terminals.push(piece);
            terminals.len() - 1
        });
        Symbol::Terminal(number)
    }
}
