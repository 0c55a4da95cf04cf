#include "ngx_llm_module/state/state_keeper.hpp"

#include <signal.h>

#include <algorithm>
#include <vector>

#include "ngx_llm_module/base/guard.hpp"
#include "ngx_llm_module/state/state_file.hpp"

namespace llm {
namespace {

constexpr ngx_msec_t kInterval = 1000;
constexpr ngx_msec_t kLongestWait = 60000;

enum class JobKind : uint8_t { append, snapshot, section };

// What a thread does. On the heap: it outlives whoever asked for it.
struct Job {
    JobKind kind = JobKind::append;
    StateFile *file = nullptr;
    std::string items;
    const StateSection *section = nullptr;
    uint64_t generation = 0;  // of the section, before it was saved
    std::vector<StoreWaiter *> waiters;
    int error = 0;
#if (NGX_THREADS)
    ngx_thread_task_t task;
#endif
};

class Keeper {
  public:
    Keeper(const Config &config, ngx_cycle_t *cycle);
    ~Keeper();

    void store(std::span<const RecordChange> changes, StoreWaiter *waiter);
    void forget(StoreWaiter &waiter);
    void on_done();

  private:
    static void on_timer(ngx_event_t *ev);
    void look();
    bool is_keeper();
    bool find_section(Job &job);
    void next();
    void start(std::unique_ptr<Job> job);

    const Config &config_;
    StateFile file_;
    ngx_cycle_t *cycle_;
    ngx_event_t timer_;
    ngx_event_t busy_;  // while clients wait: a worker does not end without them
    std::string pending_;
    std::vector<StoreWaiter *> waiting_;
    std::unique_ptr<Job> running_;
    bool wants_snapshot_ = false;
    size_t next_section_ = 0;
};

Keeper *keeper = nullptr;

void run(Job &job) {
    switch (job.kind) {
        case JobKind::append:
            job.error = job.file->append(job.items);
            return;
        case JobKind::snapshot:
            job.error = job.file->write_snapshot();
            return;
        case JobKind::section:
            job.error = job.file->save_section(*job.section);
            return;
    }
}

#if (NGX_THREADS)
void run_in_thread(void *data, ngx_log_t *) {
    Job &job = **static_cast<Job **>(data);
    job.error = EIO;  // should an exception end it
    run(job);
}

void on_job_done(ngx_event_t *) {
    if (keeper != nullptr) {
        keeper->on_done();
    }
}
#endif

void do_nothing(ngx_event_t *) {}

// Those that have changed since they were saved.
void save_sections(const Config &config, StateFile &file) {
    auto *part = zone_part<RecordsPart>(config, ZonePart::records);
    for (size_t i = 0; part != nullptr && i < state_sections.size(); i++) {
        uint64_t generation = state_sections[i].generation(config);
        if (generation != part->saved[i].load() && file.save_section(state_sections[i]) == 0) {
            part->saved[i].store(generation);
        }
    }
}

Keeper::Keeper(const Config &config, ngx_cycle_t *cycle)
    : config_(config), file_(config), cycle_(cycle) {
    ngx_memzero(&timer_, sizeof(timer_));
    ngx_memzero(&busy_, sizeof(busy_));
    busy_.handler = guard<do_nothing>;
    busy_.data = this;
    busy_.log = cycle->log;
    if (int error = file_.open()) {
        ngx_log_error(
            NGX_LOG_EMERG, cycle->log, error,
            "llm: cannot write \"%s.journal\": the directory of llm_zone's state= must be "
            "writable for the workers' user; changes through llm_admin are refused",
            config.state_path.c_str());
        return;
    }
    next_section_ = state_sections.size();
    timer_.handler = guard<on_timer>;
    timer_.data = this;
    timer_.log = cycle->log;
    timer_.cancelable = 1;
    ngx_add_timer(&timer_, kInterval);
}

// The threads have ended by now: what is left is written here.
Keeper::~Keeper() {
    for (ngx_event_t *timer : {&timer_, &busy_}) {
        if (timer->timer_set) {
            ngx_del_timer(timer);
        }
    }
    if (!pending_.empty()) {
        (void)file_.append(pending_);
    }
    save_sections(config_, file_);
    if (auto *part = zone_part<RecordsPart>(config_, ZonePart::records)) {
        uint32_t own = uint32_t(ngx_pid);
        part->keeper.compare_exchange_strong(own, 0);
    }
}

void Keeper::on_timer(ngx_event_t *ev) {
    auto &self = *static_cast<Keeper *>(ev->data);
    ngx_add_timer(ev, kInterval);
    self.look();
}

// The first that finds no living keeper is the next one.
bool Keeper::is_keeper() {
    auto *part = zone_part<RecordsPart>(config_, ZonePart::records);
    if (part == nullptr) {
        return false;
    }
    uint32_t own = uint32_t(ngx_pid);
    uint32_t now = part->keeper.load();
    if (now == own) {
        return true;
    }
    bool is_gone = now == 0 || (kill(pid_t(now), 0) != 0 && ngx_errno == NGX_ESRCH);
    return is_gone && part->keeper.compare_exchange_strong(now, own);
}

void Keeper::look() {
    if (!is_keeper()) {
        return;
    }
    wants_snapshot_ = wants_snapshot_ || file_.is_snapshot_due();
    next_section_ = 0;
    next();
}

void Keeper::store(std::span<const RecordChange> changes, StoreWaiter *waiter) {
    render_changes(changes, pending_);
    waiting_.push_back(waiter);
    next();
}

void Keeper::forget(StoreWaiter &waiter) {
    std::replace(waiting_.begin(), waiting_.end(), &waiter, static_cast<StoreWaiter *>(nullptr));
    if (running_ != nullptr) {
        std::replace(running_->waiters.begin(), running_->waiters.end(), &waiter,
                     static_cast<StoreWaiter *>(nullptr));
    }
}

// The next one that has changed since it was saved.
bool Keeper::find_section(Job &job) {
    auto *part = zone_part<RecordsPart>(config_, ZonePart::records);
    while (part != nullptr && next_section_ < state_sections.size()) {
        size_t index = next_section_++;
        job.section = &state_sections[index];
        job.generation = job.section->generation(config_);
        if (job.generation != part->saved[index].load()) {
            return true;
        }
    }
    return false;
}

void Keeper::next() {
    if (running_ != nullptr) {
        return;
    }
    auto job = std::make_unique<Job>();
    job->file = &file_;
    if (!pending_.empty()) {
        job->items.swap(pending_);
        job->waiters.swap(waiting_);
    } else if (find_section(*job)) {
        job->kind = JobKind::section;
    } else if (wants_snapshot_) {
        wants_snapshot_ = false;
        job->kind = JobKind::snapshot;
    } else {
        return;
    }
    start(std::move(job));
}

void Keeper::start(std::unique_ptr<Job> job) {
    running_ = std::move(job);
    if (!running_->waiters.empty() && !busy_.timer_set) {
        ngx_add_timer(&busy_, kLongestWait);
    }
#if (NGX_THREADS)
    ngx_str_t name = ngx_string("default");
    ngx_thread_pool_t *pool = ngx_thread_pool_get(cycle_, &name);
    if (pool != nullptr) {
        ngx_thread_task_t &task = running_->task;
        ngx_memzero(&task, sizeof(task));
        task.ctx = &running_;
        task.handler = guard<run_in_thread>;
        task.event.handler = guard<on_job_done>;
        task.event.data = this;
        if (ngx_thread_task_post(pool, &task) == NGX_OK) {
            return;
        }
    }
#endif
    run(*running_);
    on_done();
}

void Keeper::on_done() {
    std::unique_ptr<Job> job = std::move(running_);
    if (busy_.timer_set) {
        ngx_del_timer(&busy_);
    }
    if (job->error != 0) {
        ngx_log_error(NGX_LOG_ERR, cycle_->log, job->error,
                      "llm: the state in \"%s\" could not be written", config_.state_path.c_str());
    } else if (job->kind == JobKind::section) {
        auto *part = zone_part<RecordsPart>(config_, ZonePart::records);
        part->saved[job->section - state_sections.data()].store(job->generation);
    }
    next();
    for (StoreWaiter *&waiter : job->waiters) {
        if (waiter != nullptr) {
            waiter->on_stored(job->error == 0);
        }
    }
}

}  // namespace

bool add_state_threads([[maybe_unused]] ngx_conf_t *cf) {
#if (NGX_THREADS)
    return ngx_thread_pool_add(cf, nullptr) != nullptr;
#else
    return true;
#endif
}

void start_state_keeper(const Config &config, ngx_cycle_t *cycle) {
    if (!config.state_path.empty()) {
        keeper = new Keeper(config, cycle);
    }
}

void stop_state_keeper() {
    delete keeper;
    keeper = nullptr;
}

void save_last_state(const Config &config) {
    StateFile file(config);
    if (!config.state_path.empty() && file.open_existing() == 0) {
        save_sections(config, file);
    }
}

bool is_saved(const Config &config, std::string_view section, uint64_t generation) {
    auto *part = zone_part<RecordsPart>(config, ZonePart::records);
    for (size_t i = 0; part != nullptr && i < state_sections.size(); i++) {
        if (state_sections[i].name == section) {
            return config.state_path.empty() || part->saved[i].load() >= generation;
        }
    }
    return true;
}

void store_changes(std::span<const RecordChange> changes, StoreWaiter &waiter) {
    if (keeper != nullptr) {
        keeper->store(changes, &waiter);
    } else {
        waiter.on_stored(true);
    }
}

void store_changes(std::span<const RecordChange> changes) {
    if (keeper != nullptr) {
        keeper->store(changes, nullptr);
    }
}

void forget_store(StoreWaiter &waiter) {
    if (keeper != nullptr) {
        keeper->forget(waiter);
    }
}

}  // namespace llm
