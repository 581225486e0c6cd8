//! A list that mostly holds one: the bindings of one key.

/// A list without a heap allocation while it holds at most one.
#[derive(Clone, Debug, Default)]
pub(super) enum Few<T> {
    #[default]
    None,
    One(T),
    Many(Vec<T>),
}

impl<T> Few<T> {
    pub(super) fn as_slice(&self) -> &[T] {
        match self {
            Self::None => &[],
            Self::One(item) => std::slice::from_ref(item),
            Self::Many(items) => items,
        }
    }

    pub(super) fn push(&mut self, item: T) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(item),
            Self::One(first) => Self::Many(vec![first, item]),
            Self::Many(mut items) => {
                items.push(item);
                Self::Many(items)
            }
        };
    }
}

impl<T: PartialEq> Few<T> {
    /// Takes one away that equals `item`; the order of the others may change. Says whether it was
    /// there. Takes time linear in how many there are.
    pub(super) fn remove(&mut self, item: &T) -> bool {
        match self {
            Self::None => false,
            Self::One(one) => {
                let is = one == item;
                if is {
                    *self = Self::None;
                }
                is
            }
            Self::Many(items) => {
                let Some(at) = items.iter().position(|other| other == item) else {
                    return false;
                };
                items.swap_remove(at);
                if items.len() == 1
                    && let Some(last) = items.pop()
                {
                    *self = Self::One(last);
                }
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_list_however_many_it_holds() {
        let mut few = Few::default();
        assert!(!few.remove(&1));
        for n in [1, 2, 2, 3] {
            few.push(n);
        }
        assert!(!few.remove(&4));
        for (n, left) in [(2, 3), (1, 2), (2, 1), (3, 0)] {
            assert!(few.remove(&n), "{n}");
            assert_eq!(few.as_slice().len(), left);
        }
        assert!(!few.remove(&2));
    }
}
