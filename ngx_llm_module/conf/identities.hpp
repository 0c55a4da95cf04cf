// Keys and teams of the configuration: checked against each other and the models, made records.
#pragma once

#include "ngx_llm_module/conf/config.hpp"

namespace llm {

// Called when models are indexed. False: the reason was logged with file and line.
bool check_identities(ngx_conf_t *cf, Config &config);

// Is there a model for such an entry of a list, which may be a pattern? Shared with the admin API.
bool names_a_model(const Config &config, std::string_view entry);

}  // namespace llm
