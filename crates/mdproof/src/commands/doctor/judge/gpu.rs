use super::{Item, gib};
use crate::commands::doctor::readings::{Build, Gpu, GpuMemory, GpuProcess, Nvidia};

/// Percentage of free memory below which a GPU is in use.
const FREE_PERCENT: f64 = 80.0;

const DRIVER: &str = "NVIDIA driver";

/// Judges the driver and every GPU, and whether this program can use them.
pub(super) fn judge(nvidia: &Nvidia, build: Build) -> Vec<Item> {
    let mut items = match nvidia {
        Nvidia::Absent { reason } => vec![Item::ok(DRIVER, format!("none: {reason}"))],
        Nvidia::Broken { error } => {
            let advice = "reload the driver or restart the machine (nvidia-smi should then answer); without it \
                          models are computed on the CPU";
            vec![Item::warning(DRIVER, format!("does not answer: {error}"), advice)]
        }
        Nvidia::Present { version, cuda, gpus } => {
            let cuda = cuda.as_ref().map_or(String::new(), |cuda| format!(", CUDA up to {cuda}"));
            let count = match gpus.len() {
                0 => "sees no GPU".to_owned(),
                1 => "1 GPU".to_owned(),
                n => format!("{n} GPUs"),
            };
            std::iter::once(Item::ok(DRIVER, format!("{version}{cuda}, {count}")))
                .chain(gpus.iter().map(gpu))
                .collect()
        }
    };
    items.push(built(build, matches!(nvidia, Nvidia::Present { gpus, .. } if !gpus.is_empty())));
    items
}

fn gpu(gpu: &Gpu) -> Item {
    let subject = format!("GPU {}", gpu.index);
    let (total_mib, free_mib) = match &gpu.memory {
        GpuMemory::Known { total_mib, free_mib } => (*total_mib, *free_mib),
        GpuMemory::Unknown { error } => {
            let advice = "ask nvidia-smi about this GPU; a campaign may not be able to use it";
            return Item::warning(&subject, format!("{}: memory unknown: {error}", gpu.name), advice);
        }
    };
    let percent = 100.0 * free_mib / total_mib;
    let mut found = format!("{}: {} of {} free ({percent:.0} %)", gpu.name, gib(free_mib), gib(total_mib));
    if !gpu.processes.is_empty() {
        let held: Vec<String> = gpu.processes.iter().map(in_words).collect();
        found += &format!("; held by {}", held.join(", "));
    }
    // With a total of zero there is no percentage and no memory.
    if percent >= FREE_PERCENT {
        return Item::ok(&subject, found);
    }
    let advice = if gpu.processes.is_empty() {
        "wait until it is free, or use another GPU (CUDA_VISIBLE_DEVICES): its holders cannot be seen from here"
    } else {
        "wait until these processes end, end those that are yours, or use another GPU (CUDA_VISIBLE_DEVICES)"
    };
    Item::warning(&subject, found, advice)
}

fn in_words(process: &GpuProcess) -> String {
    let name = process.name.as_deref().unwrap_or("of unknown name");
    let memory = process.memory_mib.map_or("unknown".to_owned(), |mib| format!("{mib:.0} MiB"));
    format!("pid {} {name} ({memory})", process.pid)
}

fn built(build: Build, has_gpu: bool) -> Item {
    let found = match build {
        Build { cuda: true, wgpu: true } => "the CPU, CUDA and wgpu",
        Build { cuda: true, wgpu: false } => "the CPU and CUDA",
        Build { cuda: false, wgpu: true } => "the CPU and wgpu",
        Build { cuda: false, wgpu: false } => "the CPU alone",
    };
    if has_gpu && !build.cuda {
        let advice = "to use the GPU, build with: cargo build --release --features cuda";
        return Item::warning("built for", found, advice);
    }
    Item::ok("built for", found)
}
