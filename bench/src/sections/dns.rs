//! How many DNS answers a sidecar gives, by kind and by the number of instances, and unbound with the same records.
//!
//! unbound answers a question without EDNS with TC and nothing else, and adds no addresses to SRV records: its figures
//! say what the machine can do, not who is better. The floor sends questions back as they came.

use super::{Effort, RUN_SECONDS, asked, cluster, files};
use crate::{
    figure::Figure,
    floor::{Floor, Running},
    load::{
        dnsperf::{self, Question},
        unbound::Unbound,
    },
    processor::{Processes, Work},
    registry,
};

const BUDGET: f64 = 200_000.0;

/// Measures.
pub fn run(effort: Effort, give: &mut dyn FnMut(Figure)) {
    let sizes = effort.choose(&[1, 100][..], &[1, 10, 100][..]);
    let services: Vec<(String, usize)> = sizes.iter().map(|size| (format!("web{size}"), *size)).collect();
    let cluster = cluster();
    registry::fill(&cluster, &services);
    let directory = files(&cluster);
    let unbound = Unbound::start(&directory, &services);
    let (processes, yardstick) = (Processes::of(&cluster), Processes::one("unbound", unbound.pid()));
    let port = asked(&cluster).ports.dns;
    let floor = Running::start(Floor::Udp, &directory);
    let question = Question { name: "web1.service.consul", kind: "A", has_edns: true };
    let runs = (0..effort.runs())
        .map(|_| floor.processes().during(|| dnsperf::answers(floor.port, question, RUN_SECONDS, &directory)));
    let work = Work::median(runs.collect());
    let figure = Figure::new("the floor: a loop that sends questions back", work.per_cpu_second(), "/CPU-s");
    give(figure.noted(format!("{:.0}/s", work.per_second())));
    for kind in ["A", "SRV"] {
        for has_edns in effort.choose(&[true][..], &[true, false][..]).iter().copied() {
            for (service, instances) in &services {
                let name = format!("{service}.service.consul");
                let question = Question { name: &name, kind, has_edns };
                processes.rest();
                let runs = (0..effort.runs())
                    .map(|_| processes.during(|| dnsperf::answers(port, question, RUN_SECONDS, &directory)));
                let work = Work::median(runs.collect());
                let beside = yardstick.during(|| dnsperf::answers(unbound.port, question, RUN_SECONDS, &directory));
                let form = if has_edns { "EDNS" } else { "512 bytes" };
                let figure = Figure::new(format!("{kind}, {instances} inst., {form}"), work.per_cpu_second(), "/CPU-s");
                let noted = figure.at_least(BUDGET).noted(format!("{:.0}/s; {}", work.per_second(), work.shares()));
                give(Figure { yardstick: Some(beside.per_cpu_second()), ..noted });
            }
        }
    }
}
