//! What must be known of the rules before they are written: which recur, and whether they can be matched.

use super::{Node, Options, Rules, invalid};
use crate::limits::within;
use crate::{GrammarError, Limits};

pub(super) struct Shape {
    /// By rule: it leads to no recursion, so that it is a regular expression.
    pub(super) is_regular: Vec<bool>,
}

impl Shape {
    /// Whether a node leads to no recursion.
    pub(super) fn is_regular_node(&self, node: &Node) -> bool {
        match node {
            Node::Text(_) | Node::Class { .. } | Node::Any => true,
            Node::Rule(rule) => self.is_regular[*rule],
            Node::Group(options) => options.iter().flatten().all(|node| self.is_regular_node(node)),
            Node::Repeat { node, .. } => self.is_regular_node(node),
        }
    }
}

pub(super) fn shape(rules: &Rules, limits: &Limits) -> Result<Shape, GrammarError> {
    let count = rules.bodies.len();
    let is_regular = regular(rules, limits)?;
    let nullable = least(count, |rule, nullable| can(&rules.bodies[rule], nullable, false));
    let ends = least(count, |rule, ends| can(&rules.bodies[rule], ends, true));
    if !rules.start.iter().all(|node| node_can(node, &ends, true)) {
        return Err(GrammarError::Empty { kind: "GBNF grammar" });
    }
    check_left_recursion(rules, &nullable)?;
    Ok(Shape { is_regular })
}

/// The rules for which something holds that holds for a rule if it holds for those it uses, starting from none.
fn least(count: usize, holds: impl Fn(usize, &[bool]) -> bool) -> Vec<bool> {
    let mut known = vec![false; count];
    loop {
        let mut has_changed = false;
        for rule in (0..count).rev() {
            if !known[rule] && holds(rule, &known) {
                known[rule] = true;
                has_changed = true;
            }
        }
        if !has_changed {
            return known;
        }
    }
}

/// Whether an alternative can be matched by the empty text, or (`by_any`) by any finite text, given the rules that can.
fn can(options: &Options, rules: &[bool], by_any: bool) -> bool {
    options.iter().any(|sequence| sequence.iter().all(|node| node_can(node, rules, by_any)))
}

fn node_can(node: &Node, rules: &[bool], by_any: bool) -> bool {
    match node {
        Node::Text(text) => by_any || text.is_empty(),
        Node::Class { .. } | Node::Any => by_any,
        Node::Rule(rule) => rules[*rule],
        Node::Group(options) => can(options, rules, by_any),
        Node::Repeat { node, min, .. } => *min == 0 || node_can(node, rules, by_any),
    }
}

/// Which rules are regular, after checking how long they are when written out.
fn regular(rules: &Rules, limits: &Limits) -> Result<Vec<bool>, GrammarError> {
    let mut sizes: Vec<Option<usize>> = vec![None; rules.bodies.len()];
    loop {
        let mut has_changed = false;
        for rule in (0..sizes.len()).rev() {
            if sizes[rule].is_none()
                && let Some(size) = size(&rules.bodies[rule], &sizes)
            {
                within("symbols of the grammar", size, limits.grammar_symbols)?;
                sizes[rule] = Some(size);
                has_changed = true;
            }
        }
        if !has_changed {
            return Ok(sizes.iter().map(Option::is_some).collect());
        }
    }
}

/// The symbols of some alternatives, if all rules in them are known.
fn size(options: &Options, rules: &[Option<usize>]) -> Option<usize> {
    options.iter().flatten().try_fold(1_usize, |total, node| Some(total.saturating_add(node_size(node, rules)?)))
}

fn node_size(node: &Node, rules: &[Option<usize>]) -> Option<usize> {
    match node {
        Node::Text(text) => Some(text.len()),
        Node::Class { ranges, .. } => Some(ranges.len()),
        Node::Any => Some(1),
        Node::Rule(rule) => rules[*rule],
        Node::Group(options) => size(options, rules),
        Node::Repeat { node, .. } => Some(node_size(node, rules)?.saturating_add(1)),
    }
}

/// Refuses a rule that can start with itself.
fn check_left_recursion(rules: &Rules, nullable: &[bool]) -> Result<(), GrammarError> {
    let mut starts: Vec<Vec<usize>> = vec![Vec::new(); rules.bodies.len()];
    for (rule, body) in rules.bodies.iter().enumerate() {
        first_rules(body, nullable, &mut starts[rule]);
    }
    // A rule is cleared once all that it can start with are.
    let cleared = least(starts.len(), |rule, cleared| starts[rule].iter().all(|start| cleared[*start]));
    match cleared.iter().position(|is_cleared| !is_cleared) {
        None => Ok(()),
        Some(rule) => Err(invalid(format!("rule `{}` leads to a left recursion", rules.names[rule]))),
    }
}

/// The rules with which some alternatives can start.
fn first_rules(options: &Options, nullable: &[bool], found: &mut Vec<usize>) {
    for sequence in options {
        for node in sequence {
            first_of_node(node, nullable, found);
            if !node_can(node, nullable, false) {
                break;
            }
        }
    }
}

fn first_of_node(node: &Node, nullable: &[bool], found: &mut Vec<usize>) {
    match node {
        Node::Text(_) | Node::Class { .. } | Node::Any => {}
        Node::Rule(rule) => found.push(*rule),
        Node::Group(options) => first_rules(options, nullable, found),
        Node::Repeat { node, .. } => first_of_node(node, nullable, found),
    }
}
