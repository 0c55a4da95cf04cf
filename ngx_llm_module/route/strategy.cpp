// Strategies: a shuffle by shares first, which all of them use where they see no difference, then a
// stable sort by what the strategy measures.
#include "ngx_llm_module/route/strategy.hpp"

#include <algorithm>

#include "ngx_llm_module/state/health.hpp"
#include "ngx_llm_module/state/inflight.hpp"
#include "translators/pricing/cost.hpp"

namespace llm {
namespace {

// One draw without replacement: the chosen deployment moves to `first`. Share 0 means: only when
// nothing else of its order is left.
void draw(std::span<Candidate> tier, size_t first, uint64_t (*share)(const Candidate &candidate)) {
    uint64_t sum = 0;
    for (size_t i = first; i < tier.size(); i++) {
        sum += share(tier[i]);
    }
    if (sum == 0) {
        return;
    }
    uint64_t point = ((uint64_t(ngx_random()) << 31) ^ uint64_t(ngx_random())) % sum;
    for (size_t i = first; i < tier.size(); i++) {
        uint64_t part = share(tier[i]);
        if (point < part) {
            std::rotate(tier.begin() + ptrdiff_t(first), tier.begin() + ptrdiff_t(i),
                        tier.begin() + ptrdiff_t(i) + 1);
            return;
        }
        point -= part;
    }
}

uint64_t share_by_weight(const Candidate &candidate) {
    return candidate.deployment->weight;
}

uint64_t share_by_rpm(const Candidate &candidate) {
    return uint64_t(std::max<int64_t>(candidate.deployment->limits.rpm, 0));
}

uint64_t share_by_tpm(const Candidate &candidate) {
    return uint64_t(std::max<int64_t>(candidate.deployment->limits.tpm, 0));
}

uint64_t same_share(const Candidate &) {
    return 1;
}

using Share = uint64_t (*)(const Candidate &candidate);

// The first of these that somebody in the tier has.
Share choose_share(std::span<const Candidate> tier) {
    auto any = [&](auto &&has) { return std::any_of(tier.begin(), tier.end(), has); };
    if (any([](const Candidate &c) { return c.deployment->is_weight_given; })) {
        return share_by_weight;
    }
    for (Share share : {share_by_rpm, share_by_tpm}) {
        if (any([&](const Candidate &c) { return share(c) > 0; })) {
            return share;
        }
    }
    return same_share;
}

void shuffle(std::span<Candidate> tier) {
    Share share = choose_share(tier);
    for (size_t first = 0; first + 1 < tier.size(); first++) {
        draw(tier, first, share);
    }
}

// Lowest first; equal ones stay shuffled.
template <class Measure>
void sort_by(std::span<Candidate> tier, Measure measure) {
    std::vector<std::pair<uint64_t, Candidate *>> keys;
    keys.reserve(tier.size());
    for (Candidate &candidate : tier) {
        keys.emplace_back(measure(candidate), &candidate);
    }
    std::stable_sort(keys.begin(), keys.end(),
                     [](const auto &a, const auto &b) { return a.first < b.first; });
    std::vector<Candidate> sorted;
    sorted.reserve(tier.size());
    for (auto &[key, candidate] : keys) {
        sorted.push_back(std::move(*candidate));
    }
    std::move(sorted.begin(), sorted.end(), tier.begin());
}

void sort_by_latency(const Config &config, double buffer, std::span<Candidate> tier) {
    uint32_t best = UINT32_MAX;
    for (const Candidate &candidate : tier) {
        if (uint32_t usual = usual_latency(config, candidate.deployment->slot); usual != 0) {
            best = std::min(best, usual);
        }
    }
    // Nobody knows how fast a new one is: it is tried.
    auto alike = uint64_t(double(best) * (1 + buffer));
    sort_by(tier, [&](const Candidate &candidate) {
        uint64_t usual = usual_latency(config, candidate.deployment->slot);
        return usual <= alike ? 0 : usual;
    });
}

uint64_t price_of_thousand(const Candidate &candidate) {
    const Price &price = candidate.deployment->price;
    if (!price.is_known()) {
        return UINT64_MAX;
    }
    Usage usage;
    usage.input = 1000;
    usage.output = 1000;
    return uint64_t(cost_of(usage, price));
}

}  // namespace

void arrange(const Config &config, const Model &model, std::span<Candidate> tier) {
    if (tier.size() < 2) {
        return;
    }
    if (model.routing.strategy == Strategy::round_robin) {
        uint32_t turn = next_turn(config, model.deployments.front().slot);
        std::rotate(tier.begin(), tier.begin() + ptrdiff_t(turn % tier.size()), tier.end());
        return;
    }
    shuffle(tier);
    switch (model.routing.strategy) {
        case Strategy::least_busy:
            sort_by(tier, [&](const Candidate &candidate) {
                return uint64_t(count_in_flight(config, candidate.deployment->slot).of_slot);
            });
            break;
        case Strategy::latency_based:
            sort_by_latency(config, model.routing.latency_buffer, tier);
            break;
        case Strategy::usage_based:
            sort_by(tier, [&](const Candidate &candidate) {
                return uint64_t(tokens_of_minute(config, candidate.deployment->slot));
            });
            break;
        case Strategy::cost_based:
            sort_by(tier, price_of_thousand);
            break;
        case Strategy::simple_shuffle:
        case Strategy::round_robin:
            break;
    }
}

uint64_t hash_text(std::string_view text, uint64_t seed) {
    uint64_t hash = seed;
    for (unsigned char c : text) {
        hash = (hash ^ c) * 0x100000001b3u;
    }
    return hash;
}

// Rendezvous hashing: one that goes moves only its own conversations.
void prefer_by_affinity(std::span<Candidate> tier, uint64_t conversation) {
    auto rating = [&](const Candidate &candidate) {
        uint64_t hash = hash_text(candidate.deployment->id, conversation);
        return (hash ^ (hash >> 29)) * 0xbf58476d1ce4e5b9u;
    };
    auto best = std::max_element(
        tier.begin(), tier.end(),
        [&](const Candidate &a, const Candidate &b) { return rating(a) < rating(b); });
    if (best != tier.end()) {
        std::rotate(tier.begin(), best, best + 1);
    }
}

}  // namespace llm
