// What counting costs without nginx around it: the processor time of booking one request into
// metrics and spend, and of rendering the metrics page with 1,000 deployments and 10,000 keys.
// Linked with the objects of the module, so that what is measured is what runs; the few functions
// of nginx that they need stand here.
//
// Usage: ledger [--check]. With --check the exit status is 1 when a figure is over its target.
#include <time.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "ngx_llm_module/observe/metrics_page.hpp"
#include "ngx_llm_module/request/ledger.hpp"
#include "ngx_llm_module/state/spend.hpp"
#include "ngx_llm_module/state/zone.hpp"

namespace {

constexpr double kBookTarget = 5.0;     // microseconds
constexpr double kRenderTarget = 20.0;  // milliseconds
constexpr size_t kZoneSize = 64 << 20;

ngx_slab_pool_t test_pool;
llm::SharedZone *test_zone;
volatile ngx_time_t test_time;

double cpu_seconds() {
    timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return double(now.tv_sec) + double(now.tv_nsec) * 1e-9;
}

}  // namespace

// --- of nginx ---

extern "C" {
volatile ngx_time_t *ngx_cached_time = &test_time;
volatile ngx_cycle_t *ngx_cycle;
ngx_pid_t ngx_pid = 1;
ngx_uint_t ngx_pagesize = 4096;

void *ngx_slab_calloc_locked(ngx_slab_pool_t *, size_t size) {
    return calloc(1, size);
}
// As nginx takes it when nobody else holds it: one exchange.
static std::atomic<unsigned long> lock;
ngx_int_t ngx_ncpu = 1;
ngx_uint_t ngx_shmtx_trylock(ngx_shmtx_t *) {
    unsigned long free_lock = 0;
    return lock.compare_exchange_strong(free_lock, 1) ? 1 : 0;
}
ngx_uint_t ngx_shmtx_force_unlock(ngx_shmtx_t *, ngx_pid_t) {
    return 0;
}
void ngx_shmtx_unlock(ngx_shmtx_t *) {
    lock.store(0);
}
void ngx_log_error_core(ngx_uint_t, ngx_log_t *, ngx_err_t, const char *, ...) {}
u_char *ngx_hex_dump(u_char *to, u_char *from, size_t size) {
    for (size_t i = 0; i < size; i++) {
        *to++ = u_char("0123456789abcdef"[from[i] >> 4]);
        *to++ = u_char("0123456789abcdef"[from[i] & 15]);
    }
    return to;
}
size_t ngx_strnlen(u_char *text, size_t size) {
    return strnlen(reinterpret_cast<char *>(text), size);
}
}

namespace llm {

SharedZone *shared_zone(const Config &) {
    return test_zone;
}
ngx_slab_pool_t *zone_pool(const Config &) {
    return &test_pool;
}
std::string_view name(Outcome outcome) {
    return outcome == Outcome::ok ? "ok" : "upstream_error";
}

}  // namespace llm

namespace {

using namespace llm;

struct Names {
    std::string model, provider, deployment, key, hash, team;
};

std::vector<Names> many_names(size_t deployments, size_t keys) {
    std::vector<Names> list;
    for (size_t i = 0; i < std::max(deployments, keys); i++) {
        std::string d = std::to_string(i % deployments), k = std::to_string(i % keys);
        list.push_back({"model-" + std::to_string(i % deployments / 4), "provider-" + d,
                        "provider-" + d + "/a-model-of-it-" + d, "alias-of-key-" + k,
                        std::string(56, 'a') + k, "team-" + std::to_string(i % 50)});
    }
    return list;
}

// What booking.cpp does, with names that are found already.
void book(const Names &names, int64_t i) {
    RouteRow *route = route_row(names.model, names.provider, names.deployment);
    RouteNumbers &to = route->numbers;
    add(to.requests[1], 1);
    for (SharedNumber *number :
         {&to.input, &to.output, &to.cache_read, &to.cache_write, &to.reasoning, &to.cost,
          &to.unpriced, &to.estimated, &to.fallbacks, &to.attempts}) {
        add(*number, i);
    }
    for (size_t kind = 0; kind < size_t(TimeKind::count); kind++) {
        observe(to.times[kind], TimeKind(kind), 1000 * (i % 900));
    }
    KeyRow *key = key_row(names.key, names.team);
    add(key->numbers.requests[1], 1);
    add(key->numbers.input, i);
    add(key->numbers.output, i);
    add(key->numbers.cost, i);
    SpendName spent[] = {{SpendOf::key, names.hash},      {SpendOf::team, names.team},
                         {SpendOf::model, names.model},   {SpendOf::provider, names.provider},
                         {SpendOf::user, "a-user-of-it"}, {SpendOf::tag, "a-tag"}};
    SpendNumbers numbers{1, 0, i, i, i, 0, i};
    RecentRequest recent;
    set_text(recent.model, names.model);
    set_text(recent.deployment, names.deployment);
    set_text(recent.alias, names.key);
    book_spend(spent, numbers, recent);
}

bool is_over(const char *what, double figure, double target, const char *unit) {
    printf("%-42s %8.2f %s%s\n", what, figure, unit, figure > target ? " !" : "");
    return figure > target;
}

}  // namespace

int main(int count, char **words) {
    test_time.sec = 1700000000;
    ngx_shm_zone_t shm = {};
    shm.shm.size = kZoneSize;
    Config config;
    config.zone = &shm;
    test_zone = static_cast<SharedZone *>(calloc(1, sizeof(SharedZone)));
    test_zone->parts[size_t(ZonePart::metrics)] = calloc(1, sizeof(MetricsPart));
    test_zone->parts[size_t(ZonePart::spend)] = calloc(1, sizeof(SpendPart));
    open_metrics(config);
    open_spend(config);
    std::vector<Names> names = many_names(1000, 10000);
    for (size_t i = 0; i < names.size(); i++) {
        book(names[i], int64_t(i));
    }
    double best_book = 1e9, best_render = 1e9;
    size_t size = 0;
    for (int round = 0; round < 20; round++) {
        double begin = cpu_seconds();
        for (size_t i = 0; i < names.size(); i++) {
            book(names[i], int64_t(i));
        }
        best_book = std::min(best_book, (cpu_seconds() - begin) * 1e6 / double(names.size()));
        begin = cpu_seconds();
        size = MetricsPage().render().size();
        best_render = std::min(best_render, (cpu_seconds() - begin) * 1e3);
    }
    bool is_bad = is_over("booking of a request", best_book, kBookTarget, "us");
    is_bad |=
        is_over("rendering, 1000 deployments and 10000 keys", best_render, kRenderTarget, "ms");
    printf("%-42s %8.2f MB\n", "the page", double(size) / 1e6);
    return is_bad && count > 1 && strcmp(words[1], "--check") == 0 ? 1 : 0;
}
