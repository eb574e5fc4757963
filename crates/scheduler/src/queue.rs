//! Requests that wait, by client, and who is next.

use std::collections::BTreeMap;

use crate::ClientId;
use crate::entry::{Entry, Rank};

/// Work of a prompt token and of a generated one, as shares are counted: a generated one costs a pass over all weights.
pub(crate) const PROMPT_WORK: u64 = 1;
pub(crate) const GENERATED_WORK: u64 = 2;

#[derive(Debug, Default)]
struct Client {
    waiting: BTreeMap<Rank, Entry>,
    /// Requests of it that have begun and not ended.
    begun: usize,
    /// Work done for it, or as much as others got while it wanted none.
    served: u64,
    /// Step in which it last got a turn.
    last_turn: u64,
}

impl Client {
    fn is_active(&self) -> bool {
        self.begun > 0 || !self.waiting.is_empty()
    }
}

/// Who waits. Among clients, the lowest level of priority goes first, then the client that was served least; within
/// a client, the lowest rank. A level falls by one for every `ageing` steps that a client waits for its turn.
#[derive(Debug)]
pub(crate) struct Queue {
    clients: BTreeMap<ClientId, Client>,
    ageing: u32,
    len: usize,
    tokens: usize,
    /// Nobody who comes now starts with less service than this.
    floor: u64,
    /// Clients remembered after they have nothing left here.
    max_idle: usize,
}

impl Queue {
    pub fn new(ageing: u32, max_idle: usize) -> Self {
        Self { clients: BTreeMap::new(), ageing, len: 0, tokens: 0, floor: 0, max_idle }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn tokens(&self) -> usize {
        self.tokens
    }

    pub fn push(&mut self, entry: Entry) {
        self.len += 1;
        self.tokens += entry.log.len();
        let floor = self.least_served().map_or(self.floor, |least| least.max(self.floor));
        let client = self.clients.entry(entry.client).or_default();
        if !client.is_active() {
            // Who comes back cannot claim what was not asked for meanwhile.
            client.served = client.served.max(floor);
            client.last_turn = entry.arrival;
        }
        client.waiting.insert(entry.rank, entry);
    }

    /// The next request.
    pub fn best(&self, step: u64) -> Option<&Entry> {
        let heads = self.clients.values().filter_map(|c| Some((c, c.waiting.values().next()?)));
        let key = |(client, head): &(&Client, &Entry)| {
            let waited = step.saturating_sub(client.last_turn.max(head.arrival)) / u64::from(self.ageing);
            let level = i64::from(head.priority).saturating_sub_unsigned(waited);
            (level, client.served, head.rank)
        };
        heads.min_by_key(key).map(|(_, head)| head)
    }

    pub fn remove(&mut self, client: ClientId, rank: Rank) -> Option<Entry> {
        let entry = self.clients.get_mut(&client)?.waiting.remove(&rank)?;
        self.len -= 1;
        self.tokens -= entry.log.len();
        self.forget_idle(client);
        Some(entry)
    }

    /// Takes a request out to begin it.
    pub fn begin(&mut self, client: ClientId, rank: Rank, step: u64) -> Option<Entry> {
        // Begun before it is removed, so that the client counts as active throughout.
        let entry = self.clients.get_mut(&client)?;
        entry.begun += 1;
        entry.last_turn = step;
        let removed = self.remove(client, rank);
        if removed.is_none() {
            self.end(client);
        }
        removed
    }

    /// A request of the client that had begun has ended.
    pub fn end(&mut self, client: ClientId) {
        if let Some(state) = self.clients.get_mut(&client) {
            state.begun -= 1;
        }
        self.forget_idle(client);
    }

    /// Counts work done for a client.
    pub fn charge(&mut self, client: ClientId, work: u64) {
        if let Some(client) = self.clients.get_mut(&client) {
            client.served += work;
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.clients.values().flat_map(|client| client.waiting.values())
    }

    fn least_served(&self) -> Option<u64> {
        self.clients.values().filter(|c| c.is_active()).map(|c| c.served).min()
    }

    /// Forgets what a client got once all others have got as much.
    fn forget_idle(&mut self, client: ClientId) {
        let Some(state) = self.clients.get(&client) else { return };
        if state.is_active() {
            return;
        }
        let least = self.least_served().unwrap_or(state.served);
        self.floor = self.floor.max(least);
        let (floor, is_crowded) = (self.floor, self.clients.len() > self.max_idle);
        self.clients.retain(|_, c| c.is_active() || (c.served > floor && !is_crowded));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NewRequest, RequestId};

    fn entry(id: u64, client: u64) -> Entry {
        let request = NewRequest { client: ClientId(client), ..NewRequest::new(vec![1, 2], 3) };
        Entry::new(request, RequestId(id), 0, 10)
    }

    fn next(queue: &mut Queue) -> (ClientId, RequestId) {
        let best = queue.best(0).expect("somebody waits");
        let (client, rank, id) = (best.client, best.rank, best.id.request);
        assert!(queue.begin(client, rank, 0).is_some());
        (client, id)
    }

    #[test]
    fn the_client_that_was_served_least_is_next() {
        let mut queue = Queue::new(10, 100);
        for id in 0..4 {
            queue.push(entry(id, id % 2));
        }
        let (first, _) = next(&mut queue);
        queue.charge(first, 5);
        assert_eq!(next(&mut queue).0, ClientId(1));
        queue.charge(ClientId(1), 20);
        assert_eq!(next(&mut queue), (ClientId(0), RequestId(2)));
        assert_eq!((queue.len(), queue.tokens()), (1, 2));
    }

    #[test]
    fn clients_are_forgotten_when_they_can_claim_nothing() {
        let mut queue = Queue::new(10, 100);
        for id in 0..50 {
            queue.push(entry(id, id));
        }
        for _ in 0..50 {
            let (client, _) = next(&mut queue);
            queue.charge(client, client.0);
            queue.end(client);
        }
        assert_eq!(queue.clients.len(), 0);
        // Whoever comes now begins where the last one stood.
        queue.push(entry(50, 7));
        assert_eq!(queue.clients[&ClientId(7)].served, 49);
    }

    #[test]
    fn only_so_many_idle_clients_are_remembered() {
        let mut queue = Queue::new(10, 20);
        queue.push(entry(0, 1000));
        for id in 1..200 {
            queue.push(entry(id, id));
            let begun = queue.remove(ClientId(id), entry(id, id).rank);
            assert!(begun.is_some());
            queue.push(entry(id, id));
            queue.charge(ClientId(id), 1);
            assert!(queue.remove(ClientId(id), entry(id, id).rank).is_some());
            assert!(queue.clients.len() <= 22, "{}", queue.clients.len());
        }
    }
}
