// Records as objects, remembered by each worker for as long as they are true: one look at a shared
// counter tells whether anything has changed, so a change holds in all workers at once. What does
// not exist is not remembered: a million keys that somebody tries cost nothing that stays.
#pragma once

#include <memory>
#include <string_view>

#include "ngx_llm_module/conf/config.hpp"

namespace llm {

// Of the configuration or made at run time; nothing where there is none.
std::shared_ptr<const KeyRecord> find_key(const Config &config, const std::string &hash);
std::shared_ptr<const TeamRecord> find_team(const Config &config, const std::string &id);
std::shared_ptr<const UserRecord> find_user(const Config &config, const std::string &id);
std::shared_ptr<const UserRecord> find_customer(const Config &config, const std::string &id);

// When the worker ends, or begins with another configuration.
void clear_record_cache();

}  // namespace llm
