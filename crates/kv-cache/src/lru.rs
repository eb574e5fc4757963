//! A list in order of last use, of things that have numbers: every operation takes constant time and no memory.

/// The end of a list, and "not in the list".
pub(crate) const NONE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Link {
    before: u32,
    after: u32,
    listed: bool,
}

/// Numbers below a fixed bound, the least recently used first.
#[derive(Debug)]
pub(crate) struct LruList {
    links: Vec<Link>,
    first: u32,
    last: u32,
    len: usize,
}

impl LruList {
    pub fn new(bound: usize) -> Self {
        let link = Link { before: NONE, after: NONE, listed: false };
        Self { links: vec![link; bound], first: NONE, last: NONE, len: 0 }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn contains(&self, number: u32) -> bool {
        self.links[number as usize].listed
    }

    /// Adds a number as the most recently used one.
    pub fn push(&mut self, number: u32) {
        debug_assert!(!self.contains(number));
        self.links[number as usize] = Link { before: self.last, after: NONE, listed: true };
        match self.last {
            NONE => self.first = number,
            last => self.links[last as usize].after = number,
        }
        self.last = number;
        self.len += 1;
    }

    /// Takes a number out. Does nothing if it is not in the list.
    pub fn remove(&mut self, number: u32) {
        let Link { before, after, listed } = self.links[number as usize];
        if !listed {
            return;
        }
        match before {
            NONE => self.first = after,
            before => self.links[before as usize].after = after,
        }
        match after {
            NONE => self.last = before,
            after => self.links[after as usize].before = before,
        }
        self.links[number as usize].listed = false;
        self.len -= 1;
    }

    /// Takes the least recently used number out.
    pub fn pop(&mut self) -> Option<u32> {
        let first = self.first;
        if first == NONE {
            return None;
        }
        self.remove(first);
        Some(first)
    }

    /// The numbers, the least recently used first.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        let mut next = self.first;
        std::iter::from_fn(move || {
            let this = (next != NONE).then_some(next)?;
            next = self.links[this as usize].after;
            Some(this)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_leave_in_the_order_they_came_unless_taken_out() {
        let mut list = LruList::new(6);
        for number in [3, 0, 5, 1] {
            list.push(number);
        }
        list.remove(0);
        list.remove(2);
        list.remove(3);
        list.push(3);
        assert_eq!(list.iter().collect::<Vec<_>>(), [5, 1, 3]);
        assert_eq!((list.len(), list.contains(0), list.contains(1)), (3, false, true));
        list.remove(3);
        assert_eq!(std::iter::from_fn(|| list.pop()).collect::<Vec<_>>(), [5, 1]);
        assert_eq!((list.len(), list.pop()), (0, None));
        list.push(2);
        assert_eq!(list.iter().collect::<Vec<_>>(), [2]);
    }
}
