// `probe` of llm_model: asking deployments although no client asks for them.
#pragma once

#include "ngx_llm_module/conf/block_reader.hpp"

namespace llm {

bool read_probe(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t count, Model &model);

// Can every deployment that is to be probed be asked without a client? Called when the providers
// are complete.
bool check_probes(ngx_conf_t *cf, Config &config);

}  // namespace llm
