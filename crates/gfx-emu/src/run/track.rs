//! What a wave's registers may be used for: which were ever written, and which still wait for memory.

use std::collections::{BTreeMap, VecDeque};

use crate::isa::{Class, Inst, Regs};
use crate::wave::{LANES, VGPRS};

/// Counters that `s_waitcnt` and its kin wait for (RDNA3 ISA guide, 4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counter {
    /// Vector loads, and atomics that return.
    Load,
    /// Vector stores, and atomics that do not return.
    Store,
    /// LDS.
    Lds,
    /// Scalar loads and messages.
    Scalar,
    /// Exports.
    Export,
}

/// An operation under way.
#[derive(Debug, Clone, Copy)]
struct Pending {
    counter: Counter,
    /// Registers it will write.
    writes: Regs,
    /// Address of its instruction.
    address: u64,
}

/// State of a wave's registers.
#[derive(Debug, Clone)]
pub struct Track {
    /// Registers that need a closer look: those with lanes never written, and those that wait for memory.
    pub watch: Regs,
    /// Lanes that exist, by half.
    pub lanes: [u32; 2],
    /// Lanes that were written, by half and register.
    defined: Vec<[u32; LANES]>,
    /// Lanes that hold memory as it was loaded, which was never written: such may be stored again.
    raw: Vec<[u32; LANES]>,
    /// Where registers with undefined lanes were loaded from.
    origins: BTreeMap<u16, u64>,
    /// Registers with a lane that was never written.
    holes: Regs,
    /// Operations under way, oldest first, by the counter that they are waited for by.
    queues: [VecDeque<Pending>; 2],
    stores: u32,
    waiting: Regs,
    /// Registers in whose lanes a compiler keeps scalars.
    scalars: Regs,
}

/// Queues of [`Track`]: operations that one counter of RDNA3 counts together.
const VECTOR: usize = 0;
const LOCAL: usize = 1;
/// Counters end here: the hardware issues no more before one has returned.
const PENDING_MAX: usize = 63;

impl Track {
    /// Nothing is written, nothing is under way. A bit for each lane that exists.
    pub fn new(lanes: u64) -> Self {
        let holes = Regs { v: [u64::MAX; 8], s: 0 };
        Self {
            watch: holes,
            lanes: [lanes as u32, (lanes >> 32) as u32],
            defined: vec![[0; LANES]; 2 * VGPRS / LANES],
            raw: vec![[0; LANES]; 2 * VGPRS / LANES],
            origins: BTreeMap::new(),
            holes,
            queues: Default::default(),
            stores: 0,
            waiting: Regs::default(),
            scalars: Regs::default(),
        }
    }

    /// Says that a lane of a register was written alone, as a scalar for which there is no scalar register.
    pub fn keep_scalar(&mut self, register: u16) {
        self.scalars.add_v(register, 1);
    }

    /// Whether a register's lanes are scalars: such may be moved without ever having been written, as scalar registers.
    pub fn keeps_scalars(&self, register: u16) -> bool {
        self.scalars.has_v(register)
    }

    /// Lanes of a register that were written; the spare one counts as written.
    pub fn defined(&self, half: usize, register: u16) -> u32 {
        if usize::from(register) >= VGPRS {
            return u32::MAX;
        }
        let at = half * VGPRS + usize::from(register);
        self.defined.get(at / LANES).map_or(u32::MAX, |row| row[at % LANES])
    }

    /// Says which of the lanes just written are defined.
    pub fn define(&mut self, half: usize, register: u16, written: u32, defined: u32) {
        let at = half * VGPRS + usize::from(register);
        let Some(row) = self.defined.get_mut(at / LANES).filter(|_| usize::from(register) < VGPRS) else { return };
        row[at % LANES] = row[at % LANES] & !written | written & defined;
        self.raw[at / LANES][at % LANES] &= !written;
        let is_whole = (0..2).all(|half| self.defined(half, register) & self.lanes[half] == self.lanes[half]);
        if is_whole {
            self.origins.remove(&register);
        }
        let (first, bit) = (usize::from(register / 64), 1u64 << (register % 64));
        for word in [first, first + 4] {
            let holes = &mut self.holes.v[word];
            *holes = if is_whole { *holes & !bit } else { *holes | bit };
            self.watch.v[word] = *holes | self.waiting.v[word];
        }
    }

    /// Says which of the lanes just loaded come from memory that was never written, and from where.
    pub fn load(&mut self, half: usize, register: u16, loaded: u32, unwritten: u32, origin: u64) {
        self.define(half, register, loaded, !unwritten);
        let at = half * VGPRS + usize::from(register);
        if let (Some(row), true) = (self.raw.get_mut(at / LANES), unwritten != 0) {
            row[at % LANES] |= loaded & unwritten;
            self.origins.insert(register, origin);
        }
    }

    /// Lanes of a register that hold memory as it was loaded, which was never written.
    pub fn raw(&self, half: usize, register: u16) -> u32 {
        let at = half * VGPRS + usize::from(register);
        self.raw.get(at / LANES).map_or(0, |row| row[at % LANES])
    }

    /// Where the undefined lanes of a register were loaded from, if they were.
    pub fn origin(&self, register: u16) -> Option<u64> {
        self.origins.get(&register).copied()
    }

    /// Says that a register's undefined lanes were made from what was loaded there.
    pub fn inherit(&mut self, register: u16, origin: u64) {
        self.origins.insert(register, origin);
    }

    /// Whether a lane of these registers was never written.
    pub fn has_holes(&self, regs: &Regs) -> bool {
        self.holes.meets(regs)
    }

    /// Registers of an instruction that wait for memory. Loads of one kind return in order, so that one may write a
    /// register that an earlier one is yet to write: the two halves of a register are often loaded so.
    pub fn waiting_for(&self, inst: &Inst) -> Regs {
        let waiting = self.waiting.and(&inst.touches);
        let own = match inst.row.class {
            Class::Load => Counter::Load,
            Class::Lds => Counter::Lds,
            _ => return waiting,
        };
        let others = self.queues.iter().flatten().filter(|pending| pending.counter != own);
        let others = others.fold(inst.reads, |regs, pending| regs.or(&pending.writes));
        waiting.and(&others)
    }

    /// Address of the instruction that these registers wait for.
    pub fn cause(&self, regs: &Regs) -> Option<u64> {
        self.queues.iter().flatten().find(|pending| pending.writes.meets(regs)).map(|pending| pending.address)
    }

    /// An operation begins whose registers must not be touched before it is waited for.
    pub fn issue(&mut self, counter: Counter, writes: Regs, address: u64) {
        if counter == Counter::Store {
            self.stores += 1;
            return;
        }
        let queue = &mut self.queues[if counter == Counter::Load { VECTOR } else { LOCAL }];
        let in_order = counter != Counter::Scalar;
        queue.push_back(Pending { counter, writes, address });
        if queue.len() > PENDING_MAX && in_order {
            queue.pop_front();
        }
        self.renew();
    }

    /// Waits until at most so many loads are under way.
    pub fn wait_loads(&mut self, count: usize) {
        retire(&mut self.queues[VECTOR], count);
        self.renew();
    }

    /// Waits until at most so many operations on LDS and scalar loads together are under way. Scalar loads return in
    /// any order, so that only waiting for all of them says that one has returned.
    pub fn wait_local(&mut self, count: usize) {
        let queue = &mut self.queues[LOCAL];
        if count == 0 || queue.iter().all(|pending| pending.counter == Counter::Lds) {
            retire(queue, count);
        }
        self.renew();
    }

    /// Waits until at most so many operations of one counter are under way, on targets that count them apart.
    pub fn wait_one(&mut self, counter: Counter, count: usize) {
        let queue = &mut self.queues[if counter == Counter::Load { VECTOR } else { LOCAL }];
        let of_it = queue.iter().filter(|pending| pending.counter == counter).count();
        let in_order = counter != Counter::Scalar;
        let mut done = if in_order || count == 0 { of_it.saturating_sub(count) } else { 0 };
        queue.retain(|pending| {
            let ends = pending.counter == counter && done > 0;
            done -= usize::from(ends);
            !ends
        });
        self.renew();
    }

    /// Waits until at most so many stores are under way.
    pub fn wait_stores(&mut self, count: u32) {
        self.stores = self.stores.min(count);
    }

    /// Operations on LDS that were not waited for.
    pub fn pending_lds(&self) -> Option<u64> {
        self.queues[LOCAL].iter().find(|pending| pending.counter == Counter::Lds).map(|pending| pending.address)
    }

    /// Stores to global memory that were not waited for.
    pub fn pending_stores(&self) -> u32 {
        self.stores
    }

    fn renew(&mut self) {
        let all = self.queues.iter().flatten();
        self.waiting = all.fold(Regs::default(), |regs, pending| regs.or(&pending.writes));
        self.watch = self.waiting.or(&self.holes);
    }
}

fn retire(queue: &mut VecDeque<Pending>, count: usize) {
    while queue.len() > count {
        queue.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalar(slot: u8) -> Regs {
        let mut regs = Regs::default();
        regs.add_s(slot, 1);
        regs
    }

    #[test]
    fn counters_of_their_own_are_waited_for_one_by_one() {
        let mut track = Track::new(u64::MAX);
        track.issue(Counter::Lds, scalar(1), 0x10);
        track.issue(Counter::Scalar, scalar(2), 0x20);
        track.issue(Counter::Lds, scalar(3), 0x30);
        track.wait_one(Counter::Lds, 1);
        assert_eq!([1, 2, 3].map(|slot| track.cause(&scalar(slot))), [None, Some(0x20), Some(0x30)]);
        // Scalar loads return in any order: one that may be left is any of them.
        track.issue(Counter::Scalar, scalar(4), 0x40);
        track.wait_one(Counter::Scalar, 1);
        assert_eq!([2, 4].map(|slot| track.cause(&scalar(slot))), [Some(0x20), Some(0x40)]);
        track.wait_one(Counter::Scalar, 0);
        assert_eq!([2, 3, 4].map(|slot| track.cause(&scalar(slot))), [None, Some(0x30), None]);
    }
}
