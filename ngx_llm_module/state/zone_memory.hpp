// Who may have the zone and its state file over changes of nginx's processes.
//
// nginx's own shared memory ends at exec: a new binary (USR2) would begin with a zone of its own,
// and both would count, save and publish the same sums. So the zone lies in memory that has a file
// descriptor, which the master hands on to the new binary as it does its sockets: both binaries
// work in one zone, as the workers before and after a reload do. Pointers in the zone are
// addresses, so it has the same ones in every process.
//
// A state file has one zone at a time: FILE.lock is locked (flock) by all processes of a zone, for
// as long as one of them lives.
#pragma once

#include "ngx_llm_module/conf/config.hpp"

namespace llm {

// Can this binary work in the zone that another one made? `pool` is the begin of `memory`.
using IsZoneKnown = bool (*)(int memory, const ngx_slab_pool_t &pool);

// At start: takes the zone of the old binary in place of the one that nginx has just made. False:
// there is none, or it cannot be taken, which was logged.
bool take_over_memory(ngx_shm_zone_t &shm_zone, IsZoneKnown is_known);

// Gives the new zone, which is still empty, memory that can be handed on. Where the system has none
// all goes on without.
void make_memory(ngx_shm_zone_t &shm_zone);

// Makes a pool of memory that is all zeros, as nginx does it for its own zones.
ngx_slab_pool_t *init_pool(void *memory, size_t size);

// Makes this zone the owner of its state file. False: it has another one, which was logged.
bool own_state_file(const Config &config, ngx_log_t *log, bool is_new);

// The configuration that was read last is in use: what belongs to others is let go.
void keep_memory(const Config *config);

}  // namespace llm
