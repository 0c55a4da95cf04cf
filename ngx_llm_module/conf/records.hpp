// Who may use the gateway: keys, teams, users and customers, known from the configuration or made
// at run time through the admin API. A record that was found is not changed any more; a change
// makes a new one. Plain data without nginx.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ngx_llm_module/conf/limits.hpp"

namespace llm {

struct KeyRecord {
    std::string hash;  // SHA-256 of the key, 64 lower-case hex digits: its name everywhere
    std::string alias;
    std::string team;                 // a TeamRecord's id; empty: none
    std::string user;                 // a UserRecord's id; empty: none
    std::vector<std::string> models;  // names, aliases, patterns with * at the end; empty: all
    std::vector<std::pair<std::string, std::string>> aliases;  // the key's own names of models
    LimitSet limits;
    int64_t expires = 0;  // Unix time; 0: never
    bool is_blocked = false;
    // What the client may say of its requests: for which customer they are, and tags.
    bool may_name_customer = true;
    bool may_tag = true;
    std::vector<std::string> tags;
    std::string metadata;  // a JSON object as it was given, or empty
    Moment created;
    int64_t updated = 0;
    std::string replaces;        // hash of the key that this one was regenerated from, or of
                                 // the first of several
    std::string replaced_by;     // hash of the key in its place: until it expires this one is
                                 // another name of that
    bool is_configured = false;  // by llm_key: the admin API cannot change it

    // Under which hash it is counted: a key that was regenerated goes on where the old one was.
    const std::string &counted_as() const { return replaces.empty() ? hash : replaces; }
};

struct TeamRecord {
    std::string id;
    std::string alias;
    std::vector<std::string> models;
    LimitSet limits;
    bool is_blocked = false;
    std::string metadata;
    Moment created;
    int64_t updated = 0;
    bool is_configured = false;
};

// An internal user, who owns keys, or a customer: the end user that a request names.
struct UserRecord {
    std::string id;
    std::string alias;
    std::string email;  // only shown
    std::vector<std::string> models;
    LimitSet limits;
    bool is_blocked = false;
    std::string metadata;
    Moment created;
    int64_t updated = 0;
};

// Who sends a request. Nobody: no key, where llm_auth allows that.
struct Identity {
    std::shared_ptr<const KeyRecord> key;
    std::shared_ptr<const TeamRecord> team;
    std::shared_ptr<const UserRecord> user;
    std::shared_ptr<const UserRecord> customer;
    std::string customer_id;  // as the request names it, also without a record
    bool is_master = false;

    bool is_nobody() const { return key == nullptr && !is_master; }
};

}  // namespace llm
