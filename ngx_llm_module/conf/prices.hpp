// Prices of the configuration: llm_prices FILE, and what each deployment costs.
#pragma once

#include "ngx_llm_module/conf/config.hpp"

namespace llm {

// Reads the files of llm_prices. On failure the reason was logged with file and line.
bool read_prices(ngx_conf_t *cf, Config &config);

// They are why a configuration was refused; asked once for each.
bool are_prices_bad();

// Finds the price of every deployment whose model is known; read_prices comes before.
void price_deployments(Config &config);

// input_cost= and output_cost= of a deployment: dollars for one token.
bool read_token_cost(ngx_conf_t *cf, ngx_str_t text, PriceKind kind, Deployment &deployment);

}  // namespace llm
