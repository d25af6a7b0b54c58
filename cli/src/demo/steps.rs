//! The steps: what is started or broken, and what must then be seen, in the order of the story.
//!
//! A step waits for a condition, never for a time. What it must see is asked as a user would: over HTTP and DNS.

use std::{fs, time::Instant};

use hickory_proto::rr::RecordType;
use serde_json::{Value, json};

use super::{
    Demo, dns,
    failure::{Failure, NotYet},
    lookups::Lookups,
    observe::{QUESTION, all_alive, call, common_leader, found_everywhere, get, has_node, lookup, passing, put},
    plan::SERVICE,
    report::seconds,
};
use crate::members::{self, Member};

/// The node that is registered while there is no leader.
const WRITTEN_NODE: &str = "written-after-the-kill";
/// Lookups that must have been answered before the leader is killed.
const LOOKUPS_BEFORE: u64 = 100;

/// All of them.
///
/// # Errors
/// The first that failed.
pub async fn run(demo: &mut Demo) -> Result<(), Failure> {
    servers_elect_a_leader(demo).await?;
    sidecars_join(demo).await?;
    instances_register(demo).await?;
    instances_are_found(demo).await?;
    stopped_instance_leaves(demo).await?;
    started_instance_returns(demo).await?;
    let killed = leader_is_killed(demo).await?;
    killed_server_returns(demo, &killed).await
}

async fn servers_elect_a_leader(demo: &mut Demo) -> Result<(), Failure> {
    demo.report.step("Three servers start and elect a leader")?;
    for server in &demo.plan.servers {
        demo.processes.start(&server.name, &demo.plan.agent_arguments(server))?;
    }
    let leader = demo
        .wait_until("all three name the same leader", async |plan| common_leader(plan, plan.servers.iter()).await)
        .await?;
    demo.report.done(&format!("{leader} leads"))?;
    Ok(())
}

async fn sidecars_join(demo: &mut Demo) -> Result<(), Failure> {
    demo.report.step("Two sidecars join")?;
    let (first, by_file) = (&demo.plan.sidecars[0], &demo.plan.instances[0]);
    let file = first.config_directory().join("hello.json");
    fs::write(&file, by_file.file())?;
    for sidecar in &demo.plan.sidecars {
        demo.processes.start(&sidecar.name, &demo.plan.agent_arguments(sidecar))?;
    }
    let members = demo.wait_until("both see five members alive, and five nodes", async |plan| {
        let mut members = Vec::new();
        for sidecar in &plan.sidecars {
            members = all_alive(plan, sidecar).await?;
            let nodes: Vec<Value> = get(sidecar, "/v1/catalog/nodes").await?;
            if nodes.len() != plan.hosts().count() {
                return Err(NotYet::new(&sidecar.name, format!("{} nodes in the catalog", nodes.len())));
            }
        }
        Ok(members)
    });
    let members = members.await?;
    demo.report.done("lictor members says:")?;
    demo.report.text(&members::table(members))?;
    Ok(())
}

async fn instances_register(demo: &mut Demo) -> Result<(), Failure> {
    demo.report.step("Two instances of a service start: one registered by a file, one by HTTP")?;
    for instance in &demo.plan.instances {
        demo.processes.start(&instance.name, &instance.arguments())?;
    }
    demo.wait_until("both answer a call, and sidecar-2 has taken the registration of hello-2", async |plan| {
        for instance in &plan.instances {
            call(instance).await?;
        }
        let (sidecar, by_http) = (&plan.sidecars[1], &plan.instances[1]);
        put(sidecar, "/v1/agent/service/register", by_http.body()).await
    })
    .await?;
    demo.wait_until("both sidecars' DNS has both instances", async |plan| {
        found_everywhere(plan, plan.instances.iter()).await
    })
    .await?;
    demo.report.done("each host's DNS has both")?;
    Ok(())
}

async fn instances_are_found(demo: &mut Demo) -> Result<(), Failure> {
    demo.report.step("They are found")?;
    let seen =
        demo.wait_until("DNS at sidecar-1 and HTTP at sidecar-2 tell, and the found instances answer", async |plan| {
            let addresses = lookup(&plan.sidecars[0], RecordType::A).await?;
            let services = lookup(&plan.sidecars[0], RecordType::SRV).await?;
            let mut text = format!("DNS at sidecar-1, A:\n{}", dns::lines(&addresses));
            text.push_str(&format!("DNS at sidecar-1, SRV:\n{}", dns::lines(&services)));
            text.push_str(&format!("HTTP at sidecar-2, /v1/health/service/{SERVICE}?passing:\n"));
            passing(&plan.sidecars[1]).await?.iter().for_each(|entry| text.push_str(&format!("{entry}\n")));
            text.push_str("A call of each:\n");
            for instance in &plan.instances {
                text.push_str(&call(instance).await?);
            }
            Ok(text)
        });
    let seen = seen.await?;
    demo.report.text(&seen)?;
    demo.report.done("DNS, HTTP and the instances agree")?;
    Ok(())
}

async fn stopped_instance_leaves(demo: &mut Demo) -> Result<(), Failure> {
    demo.report.step("hello-2 is stopped and leaves the answers")?;
    let name = demo.plan.instances[1].name.clone();
    demo.processes.kill(&name).await?;
    demo.wait_until("its check has failed and both sidecars' DNS has hello-1 alone", async |plan| {
        found_everywhere(plan, plan.instances[..1].iter()).await
    })
    .await?;
    demo.report.done("gone from each host's DNS; its check runs every second")?;
    Ok(())
}

async fn started_instance_returns(demo: &mut Demo) -> Result<(), Failure> {
    demo.report.step("hello-2 is started again and comes back")?;
    let instance = &demo.plan.instances[1];
    demo.processes.start(&instance.name, &instance.arguments())?;
    demo.wait_until("both sidecars' DNS has both instances", async |plan| {
        found_everywhere(plan, plan.instances.iter()).await
    })
    .await?;
    demo.report.done("back in each host's DNS, and nobody registered it again")?;
    Ok(())
}

/// Gives the name of the server that was killed.
async fn leader_is_killed(demo: &mut Demo) -> Result<String, Failure> {
    demo.report.step("The leader is killed: lookups go on, writes return")?;
    let leader =
        demo.wait_until("the leader is known", async |plan| common_leader(plan, plan.servers.iter()).await).await?;
    let lookups = Lookups::start(&demo.plan.sidecars, QUESTION);
    demo.wait_until("lookups run in the background, on both hosts", async |plan| match lookups.counts().asked {
        asked if asked >= LOOKUPS_BEFORE => Ok(()),
        asked => Err(NotYet::new(&plan.sidecars[0].name, format!("{asked} lookups"))),
    })
    .await?;

    demo.processes.kill(&leader).await?;
    let killed = Instant::now();
    demo.report.text(&format!("{leader} is killed (SIGKILL)"))?;
    let body = json!({ "Node": WRITTEN_NODE, "Address": "192.0.2.1" }).to_string();
    demo.wait_until("a write at sidecar-1 is taken", async |plan| {
        put(&plan.sidecars[0], "/v1/catalog/register", body.clone()).await
    })
    .await?;
    let outage = seconds(killed.elapsed());
    demo.report.done(&format!("writes work again {outage} after the kill"))?;

    demo.wait_until("sidecar-2 has what was written, and the two servers left name one leader", async |plan| {
        has_node(&plan.sidecars[1], WRITTEN_NODE).await?;
        common_leader(plan, plan.servers.iter().filter(|server| server.name != leader)).await
    })
    .await?;
    demo.wait_until(&format!("sidecar-1 calls {leader} failed"), async |plan| {
        let members: Vec<Member> = get(&plan.sidecars[0], "/v1/agent/members").await?;
        match members.iter().find(|member| member.name == leader) {
            Some(member) if member.status() == "failed" => Ok(()),
            member => Err(NotYet::new(&plan.sidecars[0].name, member.map_or("it is unknown", Member::status))),
        }
    })
    .await?;
    let counts = lookups.finish().await;
    if let Some(first) = counts.first_failure {
        return Err(Failure::Lookups { failed: counts.failed, asked: counts.asked, first });
    }
    let slowest = counts.slowest.as_secs_f64() * 1000.0;
    let lookups = format!("{} lookups meanwhile, none failed, the slowest took {slowest:.1} ms", counts.asked);
    demo.report.done(&lookups)?;
    demo.report.remember(format!("The leader was killed: writes worked again after {outage}; {lookups}."));
    Ok(leader)
}

async fn killed_server_returns(demo: &mut Demo, killed: &str) -> Result<(), Failure> {
    demo.report.step(&format!("{killed} is started again with its data directory"))?;
    let index = demo.plan.servers.iter().position(|server| server.name == killed).unwrap_or_default();
    demo.processes.start(killed, &demo.plan.agent_arguments(&demo.plan.servers[index]))?;
    demo.wait_until("it has what was written without it, and every member is alive", async |plan| {
        has_node(&plan.servers[index], WRITTEN_NODE).await?;
        common_leader(plan, plan.servers.iter()).await?;
        all_alive(plan, &plan.sidecars[0]).await
    })
    .await?;
    demo.report.done(&format!("{killed} has caught up"))?;
    Ok(())
}
