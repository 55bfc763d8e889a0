//! volo's load balancers without its clients: one address for each pick.

use std::{
    cell::RefCell,
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
};

use equipoise_benches::{Kind, Subject, Weights, next_key};
use metainfo::{METAINFO, MetaInfo};
use volo::{
    context::Endpoint,
    discovery::StaticDiscover,
    loadbalance::{
        LoadBalance, RequestHash,
        consistent_hash::{ConsistentHashBalance, ConsistentHashOption},
        random::WeightedRandomBalance,
    },
};

use crate::{
    race::{Race, Table},
    subject::{SIZES, addresses},
};

pub(crate) fn measure(table: &mut Table) {
    for n in SIZES {
        let discover = StaticDiscover::from(addresses(n));
        let ours = Subject::new(Kind::Random, n, Weights::Equal);
        let random = WeightedRandomBalance::with_discover(&discover);
        let callee = Endpoint::new("".into());
        table.picks(
            &Race { peer: "volo", what: "get_picker, WeightedRandomBalance", n, ours: "pick, random", asked: None },
            || first(&random, &callee, &discover),
            || ours.pick(),
        );
        let ours = Subject::new(Kind::Ring, n, Weights::Equal);
        let consistent = ConsistentHashBalance::new(ConsistentHashOption::default());
        let race = Race { peer: "volo", what: "get_picker, ConsistentHashBalance", n, ours: "pick, ring", asked: None };
        // The balancer takes the hash of the request from the metadata of the task.
        METAINFO.sync_scope(RefCell::new(MetaInfo::new()), || {
            table.picks(
                &race,
                || {
                    // The caller provides the hash. The hash of this caller, a multiplication, is very cheap.
                    let hash = u64::from_le_bytes(next_key()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                    METAINFO.with(|metadata| metadata.borrow_mut().insert(RequestHash(hash)));
                    first(&consistent, &callee, &discover);
                },
                || ours.pick(),
            );
        });
    }
}

/// Takes the first address of a picker.
#[inline]
fn first<L: LoadBalance<StaticDiscover>>(balance: &L, callee: &Endpoint, discover: &StaticDiscover) {
    let picker = pin!(balance.get_picker(callee, discover));
    match picker.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(mut picker)) => drop(black_box(picker.next().expect("it has instances"))),
        _ => panic!("a static discovery answers at once"),
    }
}
