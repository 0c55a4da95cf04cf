// Health of deployments in the shared zone, see health.hpp. Counters may lose an event where two
// workers begin a new minute at once; deadlines never do.
#include "ngx_llm_module/state/health.hpp"

#include <algorithm>
#include <bit>

namespace llm {
namespace {

// So long one waits for what the other machines say.
constexpr uint64_t kAsking = 500;

HealthPeers *peers_of_all = nullptr;
ProbeStarter *probe_starter = nullptr;

constexpr uint32_t kWholeShare = 10000;  // what a hedge takes
constexpr uint32_t kMostSaved = 100;     // so many hedges

uint64_t now_ms() {
    return uint64_t(ngx_current_msec);
}

// Later, never earlier.
void advance(std::atomic<uint64_t> &deadline, uint64_t to) {
    uint64_t old = deadline.load();
    while (old < to && !deadline.compare_exchange_weak(old, to)) {
    }
}

void begin_minute(SlotHealth &health) {
    auto minute = uint32_t(now_ms() / 60000) + 1;
    uint32_t old = health.minute.load();
    if (old != minute && health.minute.compare_exchange_strong(old, minute)) {
        health.successes.store(0);
        health.failures.store(0);
        health.tokens.store(0);
    }
}

// Steps of about 1.4 from 10 ms on.
size_t latency_step(ngx_msec_t time) {
    uint64_t squared = uint64_t(time) * uint64_t(time) / 100;
    return std::min<size_t>(squared == 0 ? 0 : size_t(std::bit_width(squared)), kLatencySteps - 1);
}

ngx_msec_t end_of_step(size_t step) {
    double square = 100.0 * double(uint64_t(1) << step);
    ngx_msec_t root = 10;
    while (double(root) * double(root) < square) {
        root += 1 + root / 64;
    }
    return root;
}

void set_cooled(SlotHealth &health, ngx_msec_t time, bool is_stated) {
    uint64_t until = now_ms() + time;
    if (is_stated) {
        advance(health.stated_until, until);
    }
    health.period.store(uint32_t(std::min<ngx_msec_t>(time, UINT32_MAX)));
    health.trial_until.store(0);
    health.trier_until.store(0);
    advance(health.cooled_until, until);
}

// One machine tries, the others wait for what comes of it.
bool is_trier(SlotHealth &health, uint32_t slot, uint64_t now) {
    if (peers_of_all == nullptr || health.trier_until.load() > now) {
        return true;
    }
    uint64_t asked = health.asked_until.load();
    return asked <= now && health.asked_until.compare_exchange_strong(asked, now + kAsking) &&
           peers_of_all->ask_trial(slot, health.period.load());
}

}  // namespace

SlotHealth *health_of(const Config &config, uint32_t slot) {
    auto *part = zone_part<HealthPart>(config, ZonePart::health);
    // The last slot is shared by all that have none of their own.
    return part != nullptr && slot < kMaxSlots - 1 ? &part->slots[slot] : nullptr;
}

Availability availability(const Config &config, uint32_t slot, ngx_msec_t *wait) {
    SlotHealth *health = health_of(config, slot);
    uint64_t until = health != nullptr ? health->cooled_until.load(std::memory_order_relaxed) : 0;
    if (until == 0) {
        return Availability::open;
    }
    uint64_t now = now_ms();
    if (until <= now) {
        until = health->trial_until.load();
        if (until <= now) {
            return Availability::on_trial;
        }
    }
    if (wait != nullptr) {
        *wait = ngx_msec_t(until - now);
    }
    return Availability::cooling;
}

bool begin_trial(const Config &config, uint32_t slot) {
    SlotHealth *health = health_of(config, slot);
    if (health == nullptr || health->cooled_until.load() == 0) {
        return true;
    }
    uint64_t now = now_ms();
    uint64_t old = health->trial_until.load();
    return health->cooled_until.load() <= now && old <= now && is_trier(*health, slot, now) &&
           health->trial_until.compare_exchange_strong(old, now + health->period.load());
}

void open_again(const Config &config, uint32_t slot) {
    SlotHealth *health = health_of(config, slot);
    uint64_t until = health != nullptr ? health->cooled_until.load() : 0;
    // A success of a request that began before the failure does not end the cool-down.
    if (until != 0 && until <= now_ms() && health->cooled_until.compare_exchange_strong(until, 0)) {
        health->trial_until.store(0);
        health->trier_until.store(0);
        if (peers_of_all != nullptr) {
            peers_of_all->on_opened(slot, false);
        }
    }
}

void allow_trial(const Config &config, uint32_t slot) {
    if (SlotHealth *health = health_of(config, slot)) {
        health->trier_until.store(now_ms() + health->period.load());
        health->asked_until.store(0);
    }
}

void note_success(const Config &config, uint32_t slot) {
    if (SlotHealth *health = health_of(config, slot)) {
        begin_minute(*health);
        health->successes.fetch_add(1, std::memory_order_relaxed);
    }
}

FailureCounts note_slot_failure(const Config &config, uint32_t slot) {
    SlotHealth *health = health_of(config, slot);
    if (health == nullptr) {
        return {};
    }
    begin_minute(*health);
    FailureCounts counts;
    counts.failures = health->failures.fetch_add(1) + 1;
    counts.successes = health->successes.load();
    return counts;
}

void cool(const Config &config, uint32_t slot, ngx_msec_t time, bool is_stated) {
    SlotHealth *health = health_of(config, slot);
    if (health == nullptr || time == 0) {
        return;
    }
    set_cooled(*health, time, is_stated);
    if (peers_of_all != nullptr) {
        peers_of_all->on_cooled(slot, time, is_stated);
    }
}

// Told again and again, with the way of the message added each time: that is no news.
void cool_from_elsewhere(const Config &config, uint32_t slot, ngx_msec_t time, bool is_stated) {
    constexpr uint64_t kNoNews = 200;
    SlotHealth *health = health_of(config, slot);
    if (health != nullptr && now_ms() + time > health->cooled_until.load() + kNoNews) {
        set_cooled(*health, time, is_stated);
    }
}

// A cool-down that began behind it stays.
void open_from_elsewhere(const Config &config, uint32_t slot, ngx_msec_t age) {
    SlotHealth *health = health_of(config, slot);
    uint64_t until = health != nullptr ? health->cooled_until.load() : 0;
    if (until != 0 && until + age <= now_ms() + health->period.load() &&
        health->cooled_until.compare_exchange_strong(until, 0)) {
        health->trial_until.store(0);
        health->trier_until.store(0);
    }
}

bool take_probe(const Config &config, uint32_t slot, ngx_msec_t interval, ngx_msec_t &wait) {
    wait = interval;
    SlotHealth *health = health_of(config, slot);
    if (health == nullptr) {
        return false;
    }
    uint64_t now = now_ms();
    uint64_t due = health->probe_due.load();
    // Further away than that: the interval was a longer one. Once more the interval, because
    // another worker's clock may be a little ahead of this one's.
    if (due > now && due <= now + 2 * interval) {
        wait = ngx_msec_t(due - now);
        return false;
    }
    return health->probe_due.compare_exchange_strong(due, now + interval);
}

bool begin_probe(const Config &config, uint32_t slot, ngx_msec_t time, uint64_t &cooled_until) {
    SlotHealth *health = health_of(config, slot);
    if (health == nullptr) {
        return false;
    }
    cooled_until = health->cooled_until.load();
    if (cooled_until == 0) {
        return true;
    }
    uint64_t now = now_ms();
    uint64_t old = health->trial_until.load();
    return health->stated_until.load() <= now && old <= now &&
           health->trial_until.compare_exchange_strong(old, now + time);
}

uint32_t end_probe_well(const Config &config, uint32_t slot, uint64_t cooled_until) {
    SlotHealth *health = health_of(config, slot);
    if (health == nullptr) {
        return 0;
    }
    uint64_t until = cooled_until;
    if (until != 0 && health->cooled_until.compare_exchange_strong(until, 0)) {
        health->trial_until.store(0);
        health->trier_until.store(0);
        if (peers_of_all != nullptr) {
            peers_of_all->on_opened(slot, cooled_until > now_ms());
        }
    }
    return health->probes_failed.exchange(0);
}

uint32_t end_probe_badly(const Config &config, uint32_t slot, uint64_t cooled_until) {
    SlotHealth *health = health_of(config, slot);
    if (health == nullptr) {
        return 0;
    }
    abandon_probe(config, slot, cooled_until);
    return health->probes_failed.fetch_add(1) + 1;
}

void abandon_probe(const Config &config, uint32_t slot, uint64_t cooled_until) {
    SlotHealth *health = health_of(config, slot);
    if (health != nullptr && cooled_until != 0 && health->cooled_until.load() == cooled_until) {
        health->trial_until.store(0);
    }
}

void set_health_peers(HealthPeers *peers) {
    peers_of_all = peers;
}

HealthPeers *health_peers() {
    return peers_of_all;
}

void set_probe_starter(ProbeStarter *starter) {
    probe_starter = starter;
}

void allow_probe(uint32_t slot) {
    if (probe_starter != nullptr) {
        probe_starter->on_probe_allowed(slot);
    }
}

uint32_t parked_keys(const Config &config, uint32_t slot) {
    SlotHealth *health = health_of(config, slot);
    return health != nullptr && health->parked_until.load(std::memory_order_relaxed) > now_ms()
               ? health->parked_keys.load()
               : 0;
}

void park_key(const Config &config, uint32_t slot, unsigned key, ngx_msec_t time) {
    SlotHealth *health = health_of(config, slot);
    if (health == nullptr || key >= 32) {
        return;
    }
    if (health->parked_until.load() <= now_ms()) {
        health->parked_keys.store(0);
    }
    health->parked_keys.fetch_or(uint32_t(1) << key);
    advance(health->parked_until, now_ms() + time);
}

void note_latency(const Config &config, uint32_t slot, ngx_msec_t time, bool is_stream) {
    SlotHealth *health = health_of(config, slot);
    if (health == nullptr) {
        return;
    }
    uint32_t value = uint32_t(std::clamp<ngx_msec_t>(time, 1, 3600000));
    uint32_t old = health->latency.load(std::memory_order_relaxed);
    health->latency.store(old == 0 ? value : uint32_t((uint64_t(old) * 7 + value) / 8),
                          std::memory_order_relaxed);
    auto &counts = health->latencies[is_stream];
    if (counts[latency_step(time)].fetch_add(1, std::memory_order_relaxed) >= 1000) {
        for (auto &count : counts) {
            count.store(uint16_t(count.load(std::memory_order_relaxed) / 2),
                        std::memory_order_relaxed);
        }
    }
}

uint32_t usual_latency(const Config &config, uint32_t slot) {
    SlotHealth *health = health_of(config, slot);
    return health != nullptr ? health->latency.load(std::memory_order_relaxed) : 0;
}

// Within its step the answers are taken as spread evenly.
ngx_msec_t slow_latency(const Config &config, uint32_t slot, bool is_stream) {
    constexpr uint32_t kEnough = 20;
    SlotHealth *health = health_of(config, slot);
    if (health == nullptr) {
        return 0;
    }
    uint32_t counts[kLatencySteps], sum = 0;
    for (size_t i = 0; i < kLatencySteps; i++) {
        counts[i] = health->latencies[is_stream][i].load(std::memory_order_relaxed);
        sum += counts[i];
    }
    if (sum < kEnough) {
        return 0;
    }
    double wanted = double(sum) * 0.95;
    size_t step = 0;
    for (; step + 1 < kLatencySteps && double(counts[step]) < wanted; step++) {
        wanted -= double(counts[step]);
    }
    double begin = step == 0 ? 0 : double(end_of_step(step - 1));
    double part = counts[step] == 0 ? 1 : wanted / double(counts[step]);
    return ngx_msec_t(begin + (double(end_of_step(step)) - begin) * part) + 1;
}

void add_hedge_share(const Config &config, uint32_t slot, uint32_t share) {
    SlotHealth *health = health_of(config, slot);
    if (health != nullptr &&
        health->hedge_share.load(std::memory_order_relaxed) < kMostSaved * kWholeShare) {
        health->hedge_share.fetch_add(share, std::memory_order_relaxed);
    }
}

bool take_hedge_share(const Config &config, uint32_t slot) {
    SlotHealth *health = health_of(config, slot);
    uint32_t left = health != nullptr ? health->hedge_share.load() : 0;
    while (left >= kWholeShare) {
        if (health->hedge_share.compare_exchange_weak(left, left - kWholeShare)) {
            return true;
        }
    }
    return false;
}

void give_back_hedge_share(const Config &config, uint32_t slot) {
    if (SlotHealth *health = health_of(config, slot)) {
        health->hedge_share.fetch_add(kWholeShare, std::memory_order_relaxed);
    }
}

void note_tokens(const Config &config, uint32_t slot, int64_t tokens) {
    if (SlotHealth *health = health_of(config, slot); health != nullptr && tokens > 0) {
        begin_minute(*health);
        health->tokens.fetch_add(uint32_t(std::min<int64_t>(tokens, 1 << 24)),
                                 std::memory_order_relaxed);
    }
}

uint32_t tokens_of_minute(const Config &config, uint32_t slot) {
    SlotHealth *health = health_of(config, slot);
    if (health == nullptr) {
        return 0;
    }
    begin_minute(*health);
    return health->tokens.load(std::memory_order_relaxed);
}

uint32_t next_turn(const Config &config, uint32_t slot) {
    SlotHealth *health = health_of(config, slot);
    return health != nullptr ? health->turns.fetch_add(1, std::memory_order_relaxed) : 0;
}

}  // namespace llm
