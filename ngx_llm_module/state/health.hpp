// How well each deployment does, shared by all workers: failures of the current minute, until when
// it is left alone, how long its first content takes. Plain atomics: nothing here is locked, and a
// worker that is killed leaves nothing half done. Times are milliseconds of ngx_current_msec, which
// is one clock for all processes of a machine.
//
// A deployment is open, cooling (until cooled_until), or on trial: the time is over, nobody knows
// yet. On trial one request for each period is let through; its success opens the deployment.
#pragma once

#include "ngx_llm_module/state/zone.hpp"

namespace llm {

constexpr size_t kLatencySteps = 24;

struct SlotHealth {
    std::atomic<uint64_t> cooled_until;  // 0: open
    std::atomic<uint64_t> trial_until;   // somebody is trying it; 0: nobody
    std::atomic<uint64_t> asked_until;   // the other machines are being asked who tries it
    std::atomic<uint64_t> trier_until;   // this machine may try it
    std::atomic<uint64_t> stated_until;  // so long the provider itself wants to be left alone
    std::atomic<uint64_t> probe_due;
    std::atomic<uint64_t> parked_until;   // of the keys in parked_keys
    std::atomic<uint32_t> parked_keys;    // of the provider, a bit for each
    std::atomic<uint32_t> period;         // the length of the current cool-down
    std::atomic<uint32_t> probes_failed;  // one behind the other
    std::atomic<uint32_t> minute;         // of the three that follow
    std::atomic<uint32_t> successes;
    std::atomic<uint32_t> failures;
    std::atomic<uint32_t> tokens;
    std::atomic<uint32_t> latency;      // to the first content, smoothed; 0: not known
    std::atomic<uint32_t> turns;        // of round-robin, at the model's first deployment
    std::atomic<uint32_t> hedge_share;  // that is left, at the model's first deployment
    std::atomic<uint16_t> latencies[2][kLatencySteps];  // of whole answers, of streams
};

struct HealthPart {
    SlotHealth slots[kMaxSlots];
};

// Of a deployment. Nothing where there is no zone, or no slot of its own.
SlotHealth *health_of(const Config &config, uint32_t slot);

enum class Availability : uint8_t { open, on_trial, cooling };

// `wait`: milliseconds until that can change, where it is cooling.
Availability availability(const Config &config, uint32_t slot, ngx_msec_t *wait = nullptr);

// Before a request is sent to a deployment that is on trial: false when another one is there, or
// when other machines have to be asked first.
bool begin_trial(const Config &config, uint32_t slot);

// Content came: whatever cool-down was over has done its work.
void open_again(const Config &config, uint32_t slot);
void note_success(const Config &config, uint32_t slot);

struct FailureCounts {
    uint32_t successes = 0;
    uint32_t failures = 0;  // with this one
};
FailureCounts note_slot_failure(const Config &config, uint32_t slot);

// Leaves the deployment alone for so long. Never shortens. `is_stated`: the provider asked for it.
void cool(const Config &config, uint32_t slot, ngx_msec_t time, bool is_stated);
// The same, told by another machine: the hook is not called.
void cool_from_elsewhere(const Config &config, uint32_t slot, ngx_msec_t time, bool is_stated);
// A probe of another machine opened it so long ago.
void open_from_elsewhere(const Config &config, uint32_t slot, ngx_msec_t age);

// --- probes ---
// The probe that is due, for one process of all that ask. Otherwise `wait` says when to ask again.
bool take_probe(const Config &config, uint32_t slot, ngx_msec_t interval, ngx_msec_t &wait);
// Before it is sent, also while the deployment cools: for `time` at most nobody else tries it then.
// False: somebody is trying it already, or its provider said until when. `cooled_until` is for what
// comes of it.
bool begin_probe(const Config &config, uint32_t slot, ngx_msec_t time, uint64_t &cooled_until);
// The deployment answered: its cool-down ends early, unless it began anew in the meantime. How many
// probes had failed before.
uint32_t end_probe_well(const Config &config, uint32_t slot, uint64_t cooled_until);
// It did not. How many probes have failed with this one.
uint32_t end_probe_badly(const Config &config, uint32_t slot, uint64_t cooled_until);
// Nobody will know: others may try the deployment.
void abandon_probe(const Config &config, uint32_t slot, uint64_t cooled_until);

// The other machines that use the same deployments. Called in the worker where it happens.
class HealthPeers {
  public:
    virtual void on_cooled(uint32_t slot, ngx_msec_t time, bool is_stated) = 0;
    // `is_early`: before the end of its cool-down.
    virtual void on_opened(uint32_t slot, bool is_early) = 0;
    // May this machine try the deployment, within `time`? False: allow_trial() follows, or not.
    virtual bool ask_trial(uint32_t slot, ngx_msec_t time) = 0;
    // May this machine probe it, alone within `time`? False: ProbeStarter is called, or not.
    virtual bool ask_probe(uint32_t slot, ngx_msec_t time) = 0;

  protected:
    ~HealthPeers() = default;
};
void set_health_peers(HealthPeers *peers);  // null: there are none
HealthPeers *health_peers();
void allow_trial(const Config &config, uint32_t slot);

// What probes deployments in this worker.
class ProbeStarter {
  public:
    virtual void on_probe_allowed(uint32_t slot) = 0;

  protected:
    ~ProbeStarter() = default;
};
void set_probe_starter(ProbeStarter *starter);  // null: there is none
void allow_probe(uint32_t slot);

// The provider's keys that it refused lately for this deployment.
uint32_t parked_keys(const Config &config, uint32_t slot);
void park_key(const Config &config, uint32_t slot, unsigned key, ngx_msec_t time);

// To the first content of a stream, to the whole of another answer.
void note_latency(const Config &config, uint32_t slot, ngx_msec_t time, bool is_stream);
uint32_t usual_latency(const Config &config, uint32_t slot);  // 0: not known
// So long at most did 95 of 100 take; 0: not enough is known.
ngx_msec_t slow_latency(const Config &config, uint32_t slot, bool is_stream);

// Hedges of a model, counted by all workers: every request adds its share, in 1/10000, and a hedge
// takes a whole one. So there are never more of them than their share of all requests. What can be
// saved for later is bounded, and nothing that can be lost must be given back.
void add_hedge_share(const Config &config, uint32_t slot, uint32_t share);
bool take_hedge_share(const Config &config, uint32_t slot);
void give_back_hedge_share(const Config &config, uint32_t slot);

void note_tokens(const Config &config, uint32_t slot, int64_t tokens);
uint32_t tokens_of_minute(const Config &config, uint32_t slot);
uint32_t next_turn(const Config &config, uint32_t slot);

}  // namespace llm
