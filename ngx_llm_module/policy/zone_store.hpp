// The limits of one machine: counted in the shared zone, answered at once.
#pragma once

#include "ngx_llm_module/conf/config.hpp"
#include "ngx_llm_module/policy/store.hpp"

namespace llm {

class ZoneStore final : public LimitStore {
  public:
    explicit ZoneStore(const Config &config) : config_(config) {}
    std::unique_ptr<Lease> open(Demands &demands, Waiter &waiter) override;

  private:
    const Config &config_;
};

}  // namespace llm
