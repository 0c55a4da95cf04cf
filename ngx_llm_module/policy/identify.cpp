#include "ngx_llm_module/policy/identify.hpp"

#include "ngx_llm_module/policy/record_cache.hpp"
#include "translators/core/sha256.hpp"

namespace llm {
namespace {

bool is_same_hash(std::string_view a, std::string_view b) {
    return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

bool has_expired(const KeyRecord &key, int64_t now) {
    return key.expires != 0 && key.expires <= now;
}

KeyState state_of(const Identity &identity, int64_t now) {
    const KeyRecord &key = *identity.key;
    if (key.is_blocked) {
        return KeyState::blocked;
    }
    if (has_expired(key, now)) {
        return KeyState::expired;
    }
    if (identity.team == nullptr && !key.team.empty()) {
        return KeyState::no_team;  // its limits are gone, too
    }
    if (identity.team != nullptr && identity.team->is_blocked) {
        return KeyState::team_blocked;
    }
    return identity.user != nullptr && identity.user->is_blocked ? KeyState::user_blocked
                                                                 : KeyState::good;
}

}  // namespace

Identified identify(const Config &config, std::string_view key, int64_t now) {
    Identified found;
    std::string hash = sha256_hex(key);
    for (const std::string &master : config.master_hashes) {
        found.identity.is_master |= is_same_hash(hash, master);
    }
    if (found.identity.is_master) {
        found.state = KeyState::good;
        return found;
    }
    return identify_hash(config, hash, now);
}

Identified identify_hash(const Config &config, const std::string &hash, int64_t now) {
    Identified found;
    Identity &identity = found.identity;
    identity.key = find_key(config, hash);
    bool has_ended = false;
    if (identity.key != nullptr && !identity.key->replaced_by.empty()) {
        has_ended = has_expired(*identity.key, now);
        identity.key = find_key(config, identity.key->replaced_by);
    }
    if (identity.key == nullptr) {
        return found;
    }
    identity.team = find_team(config, identity.key->team);
    identity.user = find_user(config, identity.key->user);
    found.state = has_ended ? KeyState::expired : state_of(found.identity, now);
    return found;
}

KeyRefusal refusal_of(KeyState state) {
    switch (state) {
        case KeyState::good:
            break;
        case KeyState::unknown:
            return {"", "the API key is not known here"};
        case KeyState::expired:
            return {"expired_key", "the API key has expired"};
        case KeyState::blocked:
            return {"key_blocked", "the API key is blocked"};
        case KeyState::team_blocked:
            return {"team_blocked", "the team of the API key is blocked"};
        case KeyState::no_team:
            return {"team_blocked", "the team of the API key does not exist any more"};
        case KeyState::user_blocked:
            return {"user_blocked", "the user of the API key is blocked"};
    }
    return {};
}

}  // namespace llm
