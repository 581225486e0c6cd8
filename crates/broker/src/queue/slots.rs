//! The sets of a lane that know how many bytes they stand for: adding them up for every word to the
//! journal would take as long as the sets are large.

use std::collections::BTreeMap;
use std::ops::Deref;

use super::lane::Slot;

/// Slots by their records' offsets. A slot keeps its size for life.
#[derive(Debug, Default)]
pub(super) struct Slots {
    slots: BTreeMap<u64, Slot>,
    bytes: u64,
}

impl Slots {
    /// Bytes of the values of all.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn insert(&mut self, offset: u64, slot: Slot) {
        self.bytes += u64::from(slot.size);
        if let Some(before) = self.slots.insert(offset, slot) {
            self.bytes -= u64::from(before.size);
        }
    }

    pub(super) fn remove(&mut self, offset: &u64) -> Option<Slot> {
        let slot = self.slots.remove(offset)?;
        self.bytes -= u64::from(slot.size);
        Some(slot)
    }

    /// To change anything but the size.
    pub(super) fn get_mut(&mut self, offset: &u64) -> Option<&mut Slot> {
        self.slots.get_mut(offset)
    }

    pub(super) fn get_or_insert(&mut self, offset: u64, slot: Slot) -> &mut Slot {
        let bytes = &mut self.bytes;
        self.slots.entry(offset).or_insert_with(|| {
            *bytes += u64::from(slot.size);
            slot
        })
    }
}

impl Deref for Slots {
    type Target = BTreeMap<u64, Slot>;

    fn deref(&self) -> &Self::Target {
        &self.slots
    }
}

/// Records that were handed back, by their offsets.
#[derive(Debug, Default)]
pub(super) struct Ready {
    sizes: BTreeMap<u64, u32>,
    bytes: u64,
}

impl Ready {
    /// Bytes of the values of all.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.sizes.len()
    }

    pub(super) fn first(&self) -> Option<u64> {
        self.sizes.first_key_value().map(|(offset, _)| *offset)
    }

    pub(super) fn insert(&mut self, offset: u64, size: u32) {
        self.bytes += u64::from(size);
        if let Some(before) = self.sizes.insert(offset, size) {
            self.bytes -= u64::from(before);
        }
    }

    pub(super) fn remove(&mut self, offset: &u64) -> bool {
        let size = self.sizes.remove(offset);
        self.bytes -= size.map_or(0, u64::from);
        size.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::super::lane::Place;
    use super::*;

    #[test]
    fn bytes_are_those_of_what_is_there() {
        let slot = |size| Slot::new(Place::Ready, size);
        let (mut slots, mut ready) = (Slots::default(), Ready::default());
        slots.insert(1, slot(10));
        slots.insert(1, slot(3));
        assert_eq!(slots.get_or_insert(1, slot(9)).size, 3);
        assert_eq!(slots.get_or_insert(2, slot(4)).size, 4);
        assert_eq!((slots.bytes(), slots.len()), (7, 2));
        assert!(slots.remove(&1).is_some() && slots.remove(&1).is_none());
        assert_eq!(slots.bytes(), 4);
        ready.insert(5, 2);
        ready.insert(5, 6);
        assert_eq!((ready.first(), ready.len(), ready.bytes()), (Some(5), 1, 6));
        assert!(ready.remove(&5) && !ready.remove(&5));
        assert_eq!(ready.bytes(), 0);
    }
}
