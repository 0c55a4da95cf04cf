// What a provider is once the configuration is complete: its addresses, the dialects spoken there,
// and its credentials.
#pragma once

#include <optional>

#include "ngx_llm_module/conf/config.hpp"

namespace llm {

// On failure the reason was logged with file and line.
bool complete_provider(ngx_conf_t *cf, Config &config, Provider &provider);

// The key file of a Google service account.
bool read_account_file(ngx_conf_t *cf, std::string_view path,
                       std::optional<ServiceAccount> &account);

}  // namespace llm
