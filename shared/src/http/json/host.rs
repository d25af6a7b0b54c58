//! The answer of `/v1/agent/host`: memory, processors, system and disk, with the keys that Consul's has.

use std::path::Path;

use serde_json::{Value, json};

use crate::{
    host::{Cpu, Disk, Memory, System},
    metrics::as_f64,
};

/// Everything; `collected_ns` is the present moment in nanoseconds since 1970. A disk that cannot be asked about is
/// among the errors.
#[must_use]
pub fn host(
    memory: &Memory,
    cpus: &[Cpu],
    system: &System,
    path: &Path,
    disk: &Result<Disk, String>,
    collected_ns: u64,
) -> Value {
    let (errors, disk) = match disk {
        Ok(disk) => (Value::Null, self::disk(path, *disk)),
        Err(reason) => (json!([format!("disk {}: {reason}", path.display())]), Value::Null),
    };
    json!({
        "Memory": self::memory(memory),
        "CPU": cpus.iter().map(cpu).collect::<Vec<_>>(),
        "Host": {
            "hostname": system.hostname,
            "uptime": system.uptime_s,
            "bootTime": system.booted_s,
            "procs": system.processes,
            "os": std::env::consts::OS,
            "platform": system.distribution,
            "platformFamily": system.family,
            "platformVersion": system.version,
            "kernelVersion": system.kernel,
            "kernelArch": std::env::consts::ARCH,
            "virtualizationSystem": "",
            "virtualizationRole": "",
            "hostid": system.machine_id,
        },
        "Disk": disk,
        "CollectionTime": collected_ns,
        "Errors": errors,
    })
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { as_f64(part) * 100.0 / as_f64(whole) }
}

fn memory(memory: &Memory) -> Value {
    let used = memory.total.saturating_sub(memory.available);
    let line = |name| memory.line(name);
    json!({
        "total": memory.total,
        "available": memory.available,
        "used": used,
        "usedPercent": percent(used, memory.total),
        "free": memory.free,
        "active": line("Active"),
        "inactive": line("Inactive"),
        "wired": 0,
        "laundry": 0,
        "buffers": line("Buffers"),
        "cached": line("Cached"),
        "writeback": line("Writeback"),
        "dirty": line("Dirty"),
        "writebacktmp": line("WritebackTmp"),
        "shared": line("Shmem"),
        "slab": line("Slab"),
        "sreclaimable": line("SReclaimable"),
        "sunreclaim": line("SUnreclaim"),
        "pagetables": line("PageTables"),
        "swapcached": line("SwapCached"),
        "commitlimit": line("CommitLimit"),
        "committedas": line("Committed_AS"),
        "hightotal": line("HighTotal"),
        "highfree": line("HighFree"),
        "lowtotal": line("LowTotal"),
        "lowfree": line("LowFree"),
        "swaptotal": line("SwapTotal"),
        "swapfree": line("SwapFree"),
        "mapped": line("Mapped"),
        "vmalloctotal": line("VmallocTotal"),
        "vmallocused": line("VmallocUsed"),
        "vmallocchunk": line("VmallocChunk"),
        "hugepagestotal": line("HugePages_Total"),
        "hugepagesfree": line("HugePages_Free"),
        "hugepagesize": line("Hugepagesize"),
    })
}

fn cpu(cpu: &Cpu) -> Value {
    json!({
        "cpu": cpu.number("processor"),
        "vendorId": cpu.text("vendor_id"),
        "family": cpu.text("cpu family"),
        "model": cpu.text("model"),
        "stepping": cpu.number("stepping"),
        "physicalId": cpu.text("physical id"),
        "coreId": cpu.text("core id"),
        "cores": cpu.number("cpu cores"),
        "modelName": cpu.text("model name"),
        "mhz": cpu.number("cpu MHz"),
        "cacheSize": cpu.number("cache size"),
        "flags": cpu.text("flags").split_whitespace().collect::<Vec<_>>(),
        "microcode": cpu.text("microcode"),
    })
}

fn disk(path: &Path, disk: Disk) -> Value {
    let inodes_used = disk.inodes_total.saturating_sub(disk.inodes_free);
    json!({
        "path": path,
        "fstype": "",
        "total": disk.total,
        "free": disk.free,
        "used": disk.used,
        "usedPercent": percent(disk.used, disk.used.saturating_add(disk.free)),
        "inodesTotal": disk.inodes_total,
        "inodesUsed": inodes_used,
        "inodesFree": disk.inodes_free,
        "inodesUsedPercent": percent(inodes_used, disk.inodes_total),
    })
}
