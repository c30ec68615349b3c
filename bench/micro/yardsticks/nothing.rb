# The job of the yardsticks for Sidekiq, as `apps.nothing`.

require "sidekiq"

class Nothing
  include Sidekiq::Worker

  def perform(sent)
    return if sent.zero?

    late = Process.clock_gettime(Process::CLOCK_MONOTONIC) - sent
    File.open(ENV.fetch("YARDSTICK_DELAYS"), "a") { |file| file.syswrite("#{late}\n") }
  end
end
