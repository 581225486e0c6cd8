//! Who may come in: connections in all and per address.

use std::net::IpAddr;
use std::sync::Arc;

use base::HashMap;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::config::Limits;

/// The places of one listener.
#[derive(Clone, Debug)]
pub(super) struct Admission(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    connections_max: usize,
    connections_per_ip_max: usize,
    places: Mutex<Places>,
    /// Connections of all listeners, for the drain.
    live: Arc<watch::Sender<usize>>,
}

#[derive(Debug, Default)]
struct Places {
    taken: usize,
    by_ip: HashMap<IpAddr, usize>,
}

/// A connection's place; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Place {
    admission: Admission,
    ip: IpAddr,
}

impl Admission {
    pub(super) fn new(limits: &Limits, live: Arc<watch::Sender<usize>>) -> Self {
        Self(Arc::new(Inner {
            connections_max: limits.connections_max,
            connections_per_ip_max: limits.connections_per_ip_max,
            places: Mutex::default(),
            live,
        }))
    }

    /// A place for a connection from `ip`, or the reason why there is none.
    pub(super) fn enter(&self, ip: IpAddr) -> Result<Place, &'static str> {
        // The same machine by IPv4 and by IPv4 mapped into IPv6 is one address.
        let ip = ip.to_canonical();
        let mut places = self.0.places.lock();
        if places.taken >= self.0.connections_max {
            return Err("total");
        }
        let of_ip = places.by_ip.entry(ip).or_insert(0);
        if *of_ip >= self.0.connections_per_ip_max {
            if *of_ip == 0 {
                places.by_ip.remove(&ip);
            }
            return Err("per_ip");
        }
        *of_ip += 1;
        places.taken += 1;
        drop(places);
        self.0.live.send_modify(|n| *n += 1);
        Ok(Place {
            admission: self.clone(),
            ip,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let inner = &self.admission.0;
        let mut places = inner.places.lock();
        places.taken -= 1;
        if let Some(of_ip) = places.by_ip.get_mut(&self.ip) {
            *of_ip -= 1;
            if *of_ip == 0 {
                places.by_ip.remove(&self.ip);
            }
        }
        drop(places);
        inner.live.send_modify(|n| *n -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(connections_max: usize, connections_per_ip_max: usize) -> Admission {
        let limits = Limits {
            connections_max,
            connections_per_ip_max,
            ..Limits::default()
        };
        Admission::new(&limits, Arc::new(watch::Sender::new(0)))
    }

    #[test]
    fn refuses_over_the_total_and_over_the_share_of_one_address() {
        let admission = admission(3, 2);
        let (a, b): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let first = admission.enter(a).unwrap();
        let _second = admission.enter(a).unwrap();
        assert_eq!(admission.enter(a).unwrap_err(), "per_ip");
        let _third = admission.enter(b).unwrap();
        assert_eq!(admission.enter(b).unwrap_err(), "total");
        drop(first);
        let again = admission.enter(a).unwrap();
        assert_eq!(*admission.0.live.borrow(), 3);
        drop(again);
        assert_eq!(admission.0.places.lock().by_ip.len(), 2);
    }
}
