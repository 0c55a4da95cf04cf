// Reads the blocks llm_provider NAME { }, llm_model NAME { }, llm_key VALUE { } and llm_team NAME {
// } into the configuration.
#pragma once

#include "ngx_llm_module/conf/config.hpp"

namespace llm {

char *read_provider_block(ngx_conf_t *cf, Config &config);
char *read_model_block(ngx_conf_t *cf, Config &config);
char *read_key_block(ngx_conf_t *cf, Config &config);
char *read_team_block(ngx_conf_t *cf, Config &config);
char *read_master_key(ngx_conf_t *cf, Config &config);

// llm_limit KEY rpm=N ...: one more row of the location.
char *read_limit_rule(ngx_conf_t *cf, Config &config, LimitRules *&rules);
// llm_timezone NAME
char *read_time_zone(ngx_conf_t *cf, Config &config);

}  // namespace llm
