-- Part of the scripts: what was counted. A window is a hash: the number of a step, and "amount:time
-- of the last addition" in ms; a step counts until that time is one period ago. A sum is a number.

-- The sum of what counts, and the steps it stands in: {end, amount}.
local function read_window(name, period)
    local key, sum, living = base .. ':' .. name, 0, {}
    local flat = redis.call('HGETALL', key)
    for i = 1, #flat, 2 do
        local amount, last = string.match(flat[i + 1], '^(%d+):(%d+)$')
        amount = tonumber(amount)
        if now < last + period then
            sum = sum + amount
            living[#living + 1] = {last + period, amount}
        else
            redis.call('HDEL', key, flat[i])
        end
    end
    return sum, living
end

-- In how many ms so much of it will have left; -1: there is not so much.
local function window_frees(living, amount)
    if amount <= 0 then
        return 0
    end
    table.sort(living, function(a, b) return a[1] < b[1] end)
    for _, step in ipairs(living) do
        amount = amount - step[2]
        if amount <= 0 then
            return step[1] - now
        end
    end
    return -1
end

local function count(name, kind, step, period, life, amount, at)
    local key = base .. ':' .. name
    if kind == 's' then
        redis.call('INCRBY', key, amount)
        if life > 0 then
            redis.call('PEXPIRE', key, life)
        end
        return
    end
    local field = string.format('%d', math.floor(at / step))
    local before, last = string.match(redis.call('HGET', key, field) or '', '^(%d+):(%d+)$')
    redis.call('HSET', key, field, string.format('%d:%d', (before or 0) + amount,
        math.max(last or 0, at)))
    redis.call('PEXPIRE', key, period + step)
end
